/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution with weights of KB_BITS, 4 or 2: inner loops of conv2d_s8.h, which includes this. Four output
   channels of a tap share a multiplication, or two of them.

   4 bits: a half word h holds those of a tap, 4096 * w3 + 256 * u2 + 16 * u1 + u0 with u = w + 8. Of the sums of x * h,
   and of x times the lower 12, 8 and 4 bits of h, the differences of neighbours are 4096 times the sum of channel 3,
   and 256 and 16 times those of u2 and u1; the last is that of u0. They are exact over KB_LIMIT taps. 2 bits: a word
   holds four taps. Turned to the right by 0, 4, 8 and 12 bits, the bits KB_FIELDS of it are two halves 2^14 * w1 + u0
   with u = w + 1: of channels 0 and 1 and two taps, channels 2 and 3, and the same of two more taps. Over KB_RUN taps
   the sum of x * u0 is within 14 bits, so that the sum of x times such a half gives both.

   The sum of x * w is that of x * u less 8, or 1, times that of x, which is made once for each pixel. Sums are made
   2^4, or 2^7, times as large, as those of 8 bits are, so that the numbers of channels are such as those have. Weights:
   [quads of output channels][taps], [taps / 4]; quads are as in conv2d_s8.h. */
#ifndef KB_CONV2D_NARROW_H
#define KB_CONV2D_NARROW_H

#include "kb_dsp.h"
#include "kb_inline.h"
#include "kb_output.h"

#define KB_FIELDS 0xC003C003
#define KB_RUN 32
#define KB_LIMIT 512
#if KB_BITS == 4
/* Whether a channel of a quad has an offset. */
#define KB_HAS_OFFSET(c) ((c) < 3)
#else
#define KB_HAS_OFFSET(c) ((c) % 2 == 0)
#endif
/* Halves of weights of a quad. */
#define KB_HALVES(taps) ((taps) * KB_BITS / 4)

#ifdef __ARM_FEATURE_DSP
#include "conv2d_narrow_dsp.h"
#else
#include "conv2d_narrow_portable.h"
#endif

/* The sum of all values of a pixel. */
KB_APART int32_t total(const int16_t *x, int32_t taps)
{
    int32_t sum = 0;
    KB_NO_UNROLL
    for (const int16_t *const end = x + taps; x != end; x += 4) {
#ifdef __ARM_FEATURE_DSP
        uint32_t two[2];
        __builtin_memcpy(two, x, 8);
        sum = kb_smlad(two[1], 0x00010001, kb_smlad(two[0], 0x00010001, sum));
#else
        sum += x[0] + x[1] + x[2] + x[3];
#endif
    }
    return sum;
}

/* Four channels of one pixel, whose offset is given. */
KB_APART void one_pixel(const int16_t *x, const int16_t *w, int32_t taps, int32_t offset, const int32_t *channel,
                        int8_t *out)
{
    int32_t sum[4] = {0, 0, 0, 0}, part[4];
    KB_NO_UNROLL
    for (int32_t k = 0; k < taps; k += KB_LIMIT) {
        sum_one(x + k, w + KB_HALVES(k), kb_min(taps - k, KB_LIMIT), part);
        KB_UNROLL
        for (int32_t c = 0; c < 4; c++)
            sum[c] += part[c];
    }
    KB_UNROLL
    for (int32_t c = 0; c < 4; c++, channel += 4)
        out[c] = kb_output(sum[c] + (KB_HAS_OFFSET(c) ? offset : 0), channel, -128);
}

#ifndef __ARM_FEATURE_DSP
/* Four channels, whose numbers and weights are given, of all pixels from x to the end, two at a time, which are `step`
   bytes apart; `next` is from an output to that of the next pixel. */
KB_APART void quad(const int16_t *x, int8_t *out, int32_t next, const int16_t *x_end, const int32_t *channel,
                   const int16_t *w, int32_t taps, int32_t step, const int32_t *offsets)
{
    KB_NO_UNROLL
    for (; x != x_end; x += step, offsets += 2, out += 2 * next) {
        int32_t sum[8];
        sum_two(x, x + step / 2, w, taps, sum);
        const int32_t *numbers = channel;
        KB_NO_UNROLL
        for (int32_t c = 0; c < 4; c++, numbers += 4) {
            const int32_t has = KB_HAS_OFFSET(c);
            out[c] = kb_output(sum[2 * c] + (has ? offsets[0] : 0), numbers, -128);
            out[next + c] = kb_output(sum[2 * c + 1] + (has ? offsets[1] : 0), numbers, -128);
        }
    }
}
#endif

/* All outputs of `count` pixels, the columns of which begin at x, `step` halves apart; `next` is from an output to that
   of the next pixel. Offsets of pixels are before the columns. */
KB_APART void make(const int16_t *x, int32_t step, int32_t count, int8_t *out, int32_t next,
                   const kb_conv2d_s8_params *p)
{
    const int32_t made = p->window.out.channels, last = kb_max(made - 4, 0), taps = p->taps;
    int32_t *const offsets = (int32_t *)x - p->block;
    const int16_t *w = p->weight;
    KB_STORED(x);
    KB_NO_UNROLL
    for (int32_t i = 0; i < count; i++)
        offsets[i] = (int32_t)(0U - 128U * (uint32_t)total(x + i * step, taps));
    KB_STORED(offsets);
    const int16_t *const single = x + (count - count % 2) * step;
    for (int32_t o = 0; o < made; o += 4, w += KB_HALVES(taps)) {
        const int32_t first = kb_min(o, last), *const channel = p->channel + 4 * first;
        int8_t *const to = out + first;
        if (count > 1)
            quad(x, to, next, single, channel, w, taps, 2 * step, offsets);
        if (count % 2)
            one_pixel(single, w, taps, offsets[count - 1], channel, to + (count - 1) * next);
    }
}

/* What fills up columns is multiplied by offsets: it is made 0 where there is any. */
KB_INLINE void clear(void *scratch, const kb_conv2d_s8_params *p)
{
    const kb_window *g = &p->window;
    if (p->taps == g->kernel_w * g->kernel_h * g->in.channels)
        return;
    int32_t *to = (int32_t *)scratch + p->sums;
    int32_t *const end = to + ((p->block - 1) * g->stride_w * p->column + p->taps) / 2;
    KB_NO_UNROLL
    for (; to != end; to++)
        *to = 0;
}

#endif
