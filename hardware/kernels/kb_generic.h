/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that are the same for several types of values: macros that define them, one in each file. */
#ifndef KB_GENERIC_H
#define KB_GENERIC_H

#include "kb_inline.h"

/* Pooling. `pixel` makes all channels of one pixel, whose window starts at `x`, with `block`, which makes `count` of
   them. */
#define KB_POOL_BLOCK(c, count) block(x + c, out + c, p, count)
#define KB_POOL_PIXEL(value, params)                                                                                   \
    KB_APART void pixel(const value *x, value *out, const params *p)                                                   \
    {                                                                                                                  \
        KB_FOR_CHANNELS(p->window.in.channels, KB_POOL_BLOCK);                                                         \
    }

/* `block` of maximum pooling. */
#define KB_MAX_POOL_BLOCK(value)                                                                                       \
    KB_INLINE void block(const value *x, value *out, const kb_max_pool_params *p, int32_t count)                       \
    {                                                                                                                  \
        const kb_window *g = &p->window;                                                                               \
        const int32_t channels = g->in.channels, next = (g->in.width - g->kernel_w) * channels;                        \
        value best[4];                                                                                                 \
        KB_UNROLL                                                                                                      \
        for (int32_t j = 0; j < count; j++)                                                                            \
            best[j] = x[j];                                                                                            \
        for (int32_t ky = g->kernel_h; ky > 0; ky--, x += next)                                                        \
            for (int32_t kx = g->kernel_w; kx > 0; kx--, x += channels) {                                              \
                KB_UNROLL                                                                                              \
                for (int32_t j = 0; j < count; j++)                                                                    \
                    best[j] = x[j] > best[j] ? x[j] : best[j];                                                         \
            }                                                                                                          \
        KB_UNROLL                                                                                                      \
        for (int32_t j = 0; j < count; j++)                                                                            \
            out[j] = best[j];                                                                                          \
    }

/* `block` of average pooling of int8. */
#define KB_AVG_POOL_BLOCK(requantise)                                                                                  \
    KB_INLINE void block(const int8_t *x, int8_t *out, const kb_avg_pool_s8_params *p, int32_t count)                  \
    {                                                                                                                  \
        const kb_window *g = &p->window;                                                                               \
        const int32_t channels = g->in.channels, next = (g->in.width - g->kernel_w) * channels;                        \
        const int32_t zeros = g->kernel_h * g->kernel_w * p->in_zero;                                                  \
        int32_t sum[4] = {-zeros, -zeros, -zeros, -zeros};                                                             \
        for (int32_t ky = g->kernel_h; ky > 0; ky--, x += next)                                                        \
            for (int32_t kx = g->kernel_w; kx > 0; kx--, x += channels) {                                              \
                KB_UNROLL                                                                                              \
                for (int32_t j = 0; j < count; j++)                                                                    \
                    sum[j] += x[j];                                                                                    \
            }                                                                                                          \
        KB_UNROLL                                                                                                      \
        for (int32_t j = 0; j < count; j++)                                                                            \
            out[j] = kb_saturate(requantise(sum[j], p->multiplier, p->shift) + p->out_zero, -128);                     \
    }

/* The kernel: `pixel` at every place of a window. */
#define KB_POOL(kernel, value, params)                                                                                 \
    KB_KERNEL void kernel(const value *in, value *out, const params *p, const kb_region *r)                            \
    {                                                                                                                  \
        const kb_window *g = &p->window;                                                                               \
        const int32_t channels = g->in.channels;                                                                       \
        for (int32_t y = r->y; y < r->y_end; y++) {                                                                    \
            const value *from = in + (y * g->stride_h * g->in.width + r->x * g->stride_w) * channels;                  \
            value *to = out + (y * g->out.width + r->x) * channels;                                                    \
            for (int32_t x = r->x; x < r->x_end; x++, from += g->stride_w * channels, to += channels)                  \
                pixel(from, to, p);                                                                                    \
        }                                                                                                              \
    }

/* The same where windows reach beyond the map: `pixel` takes that part of each which does not as a window of its own.
   `begin` makes the parameters for that, all but what `FACTOR(q, p, row, column)` sets in them for one window. */
#define KB_PADDED_POOL(kernel, value, params, inner, begin, FACTOR)                                                    \
    KB_KERNEL void kernel(const value *in, value *out, const params *p, const kb_region *r)                            \
    {                                                                                                                  \
        const kb_window *g = &p->window;                                                                               \
        const int32_t channels = g->in.channels;                                                                       \
        inner q = begin;                                                                                               \
        for (int32_t y = r->y; y < r->y_end; y++) {                                                                    \
            const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);                        \
            const value *from = in + (row.start + row.from) * g->in.width * channels;                                  \
            value *to = out + (y * g->out.width + r->x) * channels;                                                    \
            q.window.kernel_h = row.to - row.from;                                                                     \
            for (int32_t x = r->x; x < r->x_end; x++, to += channels) {                                                \
                const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);                  \
                q.window.kernel_w = column.to - column.from;                                                           \
                FACTOR(q, p, row, column);                                                                             \
                pixel(from + (column.start + column.from) * channels, to, &q);                                         \
            }                                                                                                          \
        }                                                                                                              \
    }

/* Taps of a span in a map of `size` grown by margins. */
KB_INLINE int32_t kb_counted(kb_span span, int32_t kernel, int32_t before, int32_t size, int32_t after)
{
    const kb_span grown = kb_clip(span.start + before, kernel, before + size + after);
    return grown.to - grown.from;
}

/* Where the factor of a window is; `p` are the parameters of an average pool. */
#define KB_FACTOR_AT(p, row, column)                                                                                   \
    (kb_min(p->divisors,                                                                                               \
            kb_counted(row, p->window.kernel_h, p->counted.top, p->window.in.height, p->counted.bottom) *              \
                kb_counted(column, p->window.kernel_w, p->counted.left, p->window.in.width, p->counted.right)) -       \
     1)

/* Transposition: [height][width][channels] -> [channels][width][height]. */
#define KB_TRANSPOSE(kernel, value)                                                                                    \
    void kernel(const value *in, value *out, const kb_shape *in_shape)                                                 \
    {                                                                                                                  \
        const int32_t height = in_shape->height, width = in_shape->width, channels = in_shape->channels;               \
        for (int32_t c = 0; c < channels; c++)                                                                         \
            for (int32_t x = 0; x < width; x++)                                                                        \
                for (int32_t y = 0; y < height; y++)                                                                   \
                    *out++ = in[(y * width + x) * channels + c];                                                       \
    }

/* Where the largest along an axis is, the first on ties; what is no number is never larger. `least` is below, or none
   other than, all values, as `wide`. */
#define KB_ARGMAX(kernel, value, wide, least)                                                                          \
    KB_KERNEL void kernel(const value *in, int32_t *out, const kb_argmax_params *p)                                    \
    {                                                                                                                  \
        for (int32_t outer = 0; outer < p->outer; outer++, in += p->count * p->inner)                                  \
            for (int32_t inner = 0; inner < p->inner; inner++) {                                                       \
                wide best = (least);                                                                                   \
                int32_t place = 0;                                                                                     \
                for (int32_t i = 0; i < p->count; i++)                                                                 \
                    if (in[i * p->inner + inner] > best) {                                                             \
                        best = in[i * p->inner + inner];                                                               \
                        place = i;                                                                                     \
                    }                                                                                                  \
                *out++ = place;                                                                                        \
            }                                                                                                          \
    }

#endif
