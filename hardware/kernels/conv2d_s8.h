/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution, by whose kernels it is included: with KB_TWICE before, results are rounded twice; with KB_BITS
   before, 4 or 2, weights have so many bits (conv2d_narrow.h).

   Columns of the input (all kernel rows of one x, all channels) are expanded to 16 bits once per block of output
   pixels; a pixel's taps are then consecutive, and neighbouring pixels share columns. Padding is the zero point; the
   bias holds -in_zero * sum(weights).

   The weights of two output channels share a half word, 256 * w1 + w0, so that one multiplication serves both: with
   s = sum x * (256 * w1 + w0) and b = sum x * w0, the sum of channel 1 is (s - b) / 256, exact in 24 bits over
   KB_CONV2D_S8_CHUNK taps.
   Weights: [quads of output channels][taps / 2][pairs of the quad][2]. The last quad is of the last four channels, some
   of which are made twice where their number is no multiple of four, or of all if there are fewer. */
#ifndef KB_CONV2D_S8_H
#define KB_CONV2D_S8_H

#include "kb_inline.h"

#if (defined(__ARM_ARCH_6M__) || defined(__riscv)) && !defined(KB_BITS)
#include "conv2d_s8_three.h"
#else
#include "kb_clamp.h"
#include "kb_columns.h"
#include "kb_expand.h"

#if defined(KB_BITS)
#include "conv2d_narrow.h"
#elif defined(__ARM_FEATURE_DSP)
#include "conv2d_s8_dsp.h"
#else
#include "conv2d_s8_portable.h"
#endif

/* `count` columns from x on, rows y on, of a map of `width`. What fills up a column is multiplied by weights of 0 and
 * left as it is. */
KB_APART void fill(const int8_t *in, int16_t *to, const kb_conv2d_s8_params *p, int32_t y, int32_t x, int32_t count,
                   int32_t width)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, zero = p->in_zero, column = p->column;
    const kb_span inside = kb_clip(x, count, width);
    const int32_t columns = inside.to - inside.from, flat = column == channels;
    const int three = channels == 3 && g->kernel_h == 3 && y >= 0 && y + 3 <= g->in.height;
    const int32_t together = three ? 3 : 1, values = together * channels;
    for (int32_t row = y; row < y + g->kernel_h; row += together, to += values) {
        if (row < 0 || row >= g->in.height) {
            kb_pad(to, zero, channels, column, count);
            continue;
        }
        const int8_t *from = in + (row * width + x + inside.from) * channels;
        int16_t *const first = to + inside.from * column;
        kb_pad(to, zero, values, column, inside.from);
        if (three)
            copy_colours(first, from, width * 3, column, columns);
        else
            expand(first, from, flat ? channels * columns : channels, 2 * (column - channels), flat ? 1 : columns);
        kb_pad(to + inside.to * column, zero, values, column, count - inside.to);
    }
}

/* Fewer than four channels of `count` pixels, from four of each. */
KB_RARE static void copy_narrow(const int8_t *from, int8_t *to, int32_t channels, int32_t count)
{
    KB_NO_UNROLL
    for (; count > 0; count--, from += 4) {
        KB_NO_UNROLL
        for (int32_t c = 0; c < channels; c++)
            *to++ = from[c];
    }
}

/* Part of one row of the output. */
KB_APART void convolve_row(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, int32_t y,
                           int32_t x, int32_t x_end, int32_t width)
{
    const kb_window *g = &p->window;
    const int32_t step = g->stride_w * p->column, channels = g->out.channels;
    int16_t *const columns = (int16_t *)((int32_t *)scratch + p->sums);
    for (; x < x_end; x += p->block) {
        const int32_t count = kb_min(p->block, x_end - x);
        int8_t *const to = out + x * channels;
        fill(in, columns, p, y * g->stride_h - g->pad_h, x * g->stride_w - g->pad_w,
             (count - 1) * g->stride_w + g->kernel_w, width);
        make(columns, step, count, channels < 4 ? scratch : to, kb_max(channels, 4), p);
        if (channels < 4)
            copy_narrow(scratch, to, channels, count);
        if (p->low > -128)
            kb_clamp(to, channels * count, p->low);
    }
}

#endif

/* Rows of which every pixel is made of one, all of them, are one long row. */
KB_INLINE void convolve(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t width = g->in.width;
#ifdef KB_BITS
    clear(scratch, p);
#endif
    if (g->kernel_h * g->kernel_w * g->stride_h * g->stride_w == 1 && g->out.height == g->in.height &&
        g->out.width == width && r->x_end - r->x == width)
        convolve_row(in, out, scratch, p, 0, r->y * width, r->y_end * width, g->in.height * width);
    else
        for (int32_t y = r->y; y < r->y_end; y++)
            convolve_row(in, out + y * g->out.width * g->out.channels, scratch, p, y, r->x, r->x_end, width);
}

#endif
