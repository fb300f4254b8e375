/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of every channel with a kernel of its own, pixel by pixel, by whose kernels it is included: with
   KB_TWICE before, results are rounded twice. Taps on padding hold the zero point, that is 0, and are skipped. */
#ifndef KB_DEPTHWISE_CONV2D_S8_H
#define KB_DEPTHWISE_CONV2D_S8_H

#include "kb_depthwise.h"
#include "kb_dsp.h"

/* The taps of a pixel that lie in the map, of its first channel, and where its output is; what
   depthwise_conv2d_s8_dsp.h has of it on its stack, at these places. */
typedef struct {
    uint32_t minus_zero; /* the input's zero point, negative and twice */
    int32_t w_step;
    const int8_t *x, *w;    /* 0 */
    int32_t row, rows;      /* 8: bytes of a row of weights, negative */
    int32_t entry;          /* 16: where in the loop over its taps it begins */
    int32_t x_line, w_line; /* 20: bytes from one row to the next */
    const int32_t *channel; /* 28 */
    int8_t *out;            /* 32 */
    int32_t out_zero;       /* 36 */
    uint32_t lows;          /* 40: the least output, four times */
    int32_t taps, in_zero, low, x_step, count; /* taps of a row; channels */
} patch;

/* `count` channels from c on. */
KB_INLINE void block(const patch *t, int32_t c, int32_t count)
{
    const int8_t *x_row = t->x + c, *w_row = t->w + c;
    int32_t acc[4] = {0, 0, 0, 0};
    KB_NO_UNROLL
    for (int32_t rows = t->rows; rows > 0; rows--, x_row += t->x_line, w_row += t->w_line) {
        const int8_t *x = x_row, *w = w_row, *const end = w + t->taps * t->w_step;
        KB_NO_UNROLL
        for (; w != end; x += t->x_step, w += t->w_step)
            for (int32_t j = 0; j < count; j++)
                acc[j] += (x[j] - t->in_zero) * w[j];
    }
    for (int32_t j = 0; j < count; j++) {
        const scaling s = scaling_of(t->channel + 3 * (c + j), t->out_zero);
        t->out[c + j] = finish(&s, acc[j] * (1 << s.left) + s.bias, t->low);
    }
}

#ifdef __ARM_FEATURE_DSP
#include "depthwise_conv2d_s8_dsp.h"
#else
KB_INLINE void pixel(patch *t)
{
#define STEP(c, count) block(t, c, count)
    KB_FOR_CHANNELS(t->count, STEP);
#undef STEP
}
#endif

/* `count` channels from c on, of an input whose pixels are `step` bytes, and which begins with channel c. */
KB_INLINE void convolve(const int8_t *in, int8_t *out, const kb_depthwise_conv2d_s8_params *p, const kb_region *r,
                        int32_t step, int32_t c, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    const uint32_t minus_zero = (uint32_t)-p->in_zero & 0xFFFF;
    patch t = {.minus_zero = minus_zero << 16 | minus_zero,
               .x_line = g->in.width * step,
               .w_line = g->kernel_w * channels,
               .w_step = channels,
               .channel = p->channel + 3 * c,
               .out_zero = p->out_zero,
               .lows = ((uint32_t)p->low & 0xFF) * 0x01010101,
               .in_zero = p->in_zero,
               .low = p->low,
               .x_step = step,
               .count = count};
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        t.out = out + (y * g->out.width + r->x) * channels + c;
        for (int32_t x = r->x; x < r->x_end; x++, t.out += channels) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
            const int32_t taps = column.to - column.from;
            t.x = in + ((row.start + row.from) * g->in.width + column.start + column.from) * step;
            t.w = p->weight + (row.from * g->kernel_w + column.from) * channels + c;
            t.taps = taps;
            t.rows = row.to - row.from;
            if (taps == g->in.width && taps == g->kernel_w) { /* rows that follow one another: as one */
                t.taps *= t.rows;
                t.rows = 1;
            }
            pixel(&t);
        }
    }
}

/* For kernels whose output may lie where the input lay: then four channels at a time, of which a copy is made. */
KB_INLINE void convolve_copies(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                               const kb_region *r)
{
    const int32_t channels = p->window.in.channels, size = p->window.in.height * p->window.in.width;
    const int whole = r->y_end - r->y == p->window.out.height && r->x_end - r->x == p->window.out.width;
    if (in != out || !whole) { /* where parts would begin may be the same by chance */
        convolve(in, out, p, r, channels, 0, channels);
        return;
    }
    for (int32_t c = 0; c < channels; c += 4) {
        for (int32_t i = 0; i < size; i++)
            __builtin_memcpy((int8_t *)scratch + 4 * i, in + i * channels + c, 4);
        convolve(scratch, out, p, r, 4, c, 4);
    }
}

#endif
