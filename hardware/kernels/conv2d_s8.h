/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution, by whose kernels it is included: with KB_TWICE before, results are rounded twice.

   Columns of the input (all kernel rows of one x, all channels) are expanded to 16 bits once per block of output
   pixels; a pixel's taps are then consecutive, and neighbouring pixels share columns. Padding is the zero point; the
   bias holds -in_zero * sum(weights).

   The weights of two output channels share a half word, 256 * w1 + w0, so that one multiplication serves both: with
   s = sum x * (256 * w1 + w0) and b = sum x * w0, the sum of channel 1 is (s - b) / 256, exact in 24 bits over
   KB_CONV2D_S8_CHUNK taps.
   Weights: [quads of output channels][taps / 2][pairs of the quad][2].
   Sums: [output channels][pixels]. */
#ifndef KB_CONV2D_S8_H
#define KB_CONV2D_S8_H

#include "kb_inline.h"

#ifdef __ARM_ARCH_6M__
#include "conv2d_s8_v6m.h"
#else
#include "kb_columns.h"

/* Where two_pixels goes on with outputs: the numbers of the channels, and the output of the first pixel, from which
   that of the second is `next` bytes on; none is below those of `lows`, four times the same. */
typedef struct {
    const int32_t *channel;
    int8_t *out;
    int32_t next;
    uint32_t lows;
} ending;

/* Sums of one chunk of taps for all quads: of the pixels x and y, or of x alone. The weights of a quad end `skip` bytes
   before those of the next begin. `taps` is a multiple of 4. */
static void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads,
                       int32_t skip, ending *end);
static void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads, int32_t skip,
                      ending *end);

#if defined(__ARM_FEATURE_DSP)
#include "conv2d_s8_dsp.h"
#else
#include "conv2d_s8_portable.h"
#endif

/* However many taps: the sums of `quads` quads from q on of `pixels` pixels, 1 or 2, the second `step` halves after the
   first; with `end` outputs, of one chunk. */
KB_APART void accumulate(const int16_t *x, int32_t step, int32_t pixels, int32_t *sum, int32_t q, int32_t quads,
                         ending *end, const kb_conv2d_s8_params *p)
{
    const int32_t count = 4 * pixels * quads;
    const int16_t *w = p->weight + 2 * p->taps * q;
    for (int32_t k = 0; k < p->taps; k += KB_CONV2D_S8_CHUNK) {
        const int32_t taps = kb_min(KB_CONV2D_S8_CHUNK, p->taps - k), skip = 4 * (p->taps - taps);
        int32_t *const part = k ? sum + count : sum;
        if (pixels == 2)
            two_pixels(x + k, x + step + k, w + 2 * k, part, taps, quads, skip, end);
        else
            one_pixel(x + k, w + 2 * k, part, taps, quads, skip, end);
        KB_NO_UNROLL
        for (int32_t i = 0; k && i < count; i++)
            sum[i] += part[i];
    }
}

/* Outputs of `pixels` pixels from their sums, from channel `o` on. */
KB_APART void finish(const int32_t *sum, int8_t *out, int32_t pixels, int32_t o, const kb_conv2d_s8_params *p)
{
    const int32_t channels = p->window.out.channels;
    const int32_t *channel = p->channel + 4 * o;
    for (; o < channels; o++, channel += 4)
        for (int32_t i = 0; i < pixels; i++) {
#ifdef KB_TWICE
            const int32_t acc = 2 * *sum++ + channel[0];
            const int32_t value = KB_TWICE_BY_CHANNEL(acc, channel, p->out_zero);
#else
            const int32_t acc = *sum++ + channel[0];
            const int32_t value = KB_BY_CHANNEL(acc, channel, p->out_zero);
#endif
            out[i * channels + o] = kb_saturate(value, p->low);
        }
}

/* Outputs of `pixels` pixels, whose columns are at x. */
KB_APART void make(const int16_t *x, int32_t step, int32_t pixels, int32_t *sum, int8_t *out,
                   const kb_conv2d_s8_params *p)
{
    const int32_t channels = p->window.out.channels, quads = (channels + 3) / 4;
    const int whole = p->taps <= KB_CONV2D_S8_CHUNK;
    int32_t done = FINISHES && p->quick && (whole || pixels == 2) ? channels / 4 : 0;
    ending end = {p->channel, out, channels, ((uint32_t)p->low & 0xFF) * 0x01010101};
    if (done) {
        accumulate(x, step, pixels, sum, 0, done, whole ? &end : 0, p);
        if (!whole)
            two_pixels(x, x, p->weight, sum, 0, done, 0, &end);
    }
    if (done < quads) {
        accumulate(x, step, pixels, sum, done, quads - done, 0, p);
        finish(sum, out, pixels, 4 * done, p);
    }
}

/* One row of `count` columns. */
KB_INLINE void copy_row(int16_t *to, const int8_t *from, int32_t channels, int32_t column, int32_t count)
{
    if (column == channels) {
        expand(to, from, channels * count);
        return;
    }
    KB_NO_UNROLL
    for (; count > 0; count--, to += column, from += channels) {
        if (channels == 3) { /* colours */
            const int8_t red = from[0], green = from[1], blue = from[2];
            to[0] = red, to[1] = green, to[2] = blue;
            continue;
        }
        if (channels >= 8) {
            expand(to, from, channels);
            continue;
        }
        KB_NO_UNROLL
        for (int32_t c = 0; c < channels; c++)
            to[c] = from[c];
    }
}

/* `count` columns from x on, rows y on, of a map of `width`. What fills up a column is multiplied by weights of 0 and
 * left as it is. */
KB_APART void fill(const int8_t *in, int16_t *to, const kb_conv2d_s8_params *p, int32_t y, int32_t x, int32_t count,
                   int32_t width)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, zero = p->in_zero, column = p->column;
    const kb_span inside = kb_clip(x, count, width);
    for (int32_t row = y; row < y + g->kernel_h; row++, to += channels) {
        if (row < 0 || row >= g->in.height) {
            kb_pad(to, zero, channels, column, count);
            continue;
        }
        const int8_t *from = in + (row * width + x + inside.from) * channels;
        kb_pad(to, zero, channels, column, inside.from);
        copy_row(to + inside.from * column, from, channels, column, inside.to - inside.from);
        kb_pad(to + inside.to * column, zero, channels, column, count - inside.to);
    }
}

/* Part of one row of the output. */
KB_APART void convolve_row(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, int32_t y,
                           int32_t x, int32_t x_end, int32_t width)
{
    const kb_window *g = &p->window;
    const int32_t step = g->stride_w * p->column, channels = g->out.channels;
    const int simple = FINISHES && p->quick && channels % 4 == 0 && p->taps <= KB_CONV2D_S8_CHUNK;
    const uint32_t lows = ((uint32_t)p->low & 0xFF) * 0x01010101;
    int32_t *const sum = scratch;
    int16_t *const columns = (int16_t *)(sum + p->sums);
    for (; x < x_end; x += p->block) {
        const int32_t count = kb_min(p->block, x_end - x);
        int8_t *to = out + x * channels;
        fill(in, columns, p, y * g->stride_h - g->pad_h, x * g->stride_w - g->pad_w,
             (count - 1) * g->stride_w + g->kernel_w, width);
        for (int32_t i = 0; i + 1 < count; i += 2) {
            const int16_t *const first = columns + i * step;
            ending end = {p->channel, to + i * channels, channels, lows};
            if (simple)
                two_pixels(first, first + step, p->weight, sum, p->taps, channels / 4, 0, &end);
            else
                make(first, step, 2, sum, end.out, p);
        }
        if (count % 2)
            make(columns + (count - 1) * step, 0, 1, sum, to + (count - 1) * channels, p);
    }
}

#endif

/* Rows of which every pixel is made of one, all of them, are one long row. */
KB_INLINE void convolve(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t width = g->in.width;
    if (g->kernel_h * g->kernel_w * g->stride_h * g->stride_w == 1 && g->out.height == g->in.height &&
        g->out.width == width && r->x_end - r->x == width)
        convolve_row(in, out, scratch, p, 0, r->y * width, r->y_end * width, g->in.height * width);
    else
        for (int32_t y = r->y; y < r->y_end; y++)
            convolve_row(in, out + y * g->out.width * g->out.channels, scratch, p, y, r->x, r->x_end, width);
}

#endif
