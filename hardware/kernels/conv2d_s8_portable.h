/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on cores without the DSP extension, but for Armv6-M: the inner loops of conv2d_s8.c, which includes
 * this. */
#ifndef KB_CONV2D_S8_PORTABLE_H
#define KB_CONV2D_S8_PORTABLE_H

#include "kb_inline.h"
#include "kb_output.h"

/* The sums of one pair of a quad, for x and the pixel `distance` bytes after it. */
KB_INLINE void pair(const int16_t *x, int32_t distance, const int16_t *w, int32_t *sum, int32_t taps)
{
    const int16_t *y = x + distance / 2;
    uint32_t s0 = 0, s1 = 0, b0 = 0, b1 = 0;
    for (int32_t i = 0; i < taps; i++) {
        const int32_t both = w[i / 2 * 4 + i % 2], first = (int8_t)both;
        s0 += (uint32_t)(x[i] * both), b0 += (uint32_t)(x[i] * first);
        s1 += (uint32_t)(y[i] * both), b1 += (uint32_t)(y[i] * first);
    }
    sum[0] = (int32_t)b0, sum[1] = (int32_t)b1, sum[2] = (int32_t)(s0 - b0) >> 8, sum[3] = (int32_t)(s1 - b1) >> 8;
}

/* The sums of a quad of channels of x and the pixel `distance` bytes after it: [channels][2]. */
KB_APART void two_pixels(const int16_t *x, int32_t distance, const int16_t *w, int32_t *sum, int32_t taps)
{
    KB_NO_UNROLL
    for (int32_t i = 0; i < 2; i++, w += 2, sum += 4)
        pair(x, distance, w, sum, taps);
}

/* The same of x alone, the second of each two being undefined. */
KB_APART void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps)
{
    int32_t both[4];
    pair(x, 0, w, both, taps);
    sum[0] = both[0], sum[2] = both[2];
    pair(x, 0, w + 2, both, taps);
    sum[4] = both[0], sum[6] = both[2];
}

/* The sums of all taps, chunk by chunk. */
KB_INLINE void sum_quad(const int16_t *x, int32_t distance, int32_t both, const int16_t *w, int32_t *sum, int32_t taps)
{
    int32_t part[8] = {0};
    for (int32_t k = 0; k < taps; k += KB_CONV2D_S8_CHUNK) {
        const int32_t chunk = kb_min(KB_CONV2D_S8_CHUNK, taps - k);
        int32_t *const to = k ? part : sum;
        if (both)
            two_pixels(x + k, distance, w + 2 * k, to, chunk);
        else
            one_pixel(x + k, w + 2 * k, to, chunk);
        KB_NO_UNROLL
        for (int32_t i = 0; k && i < 8; i++)
            sum[i] += part[i];
    }
}

/* All outputs of `count` pixels, the columns of which begin at x, `step` halves apart; `next` is from an output to that
   of the next pixel. */
KB_APART void make(const int16_t *x, int32_t step, int32_t count, int8_t *out, int32_t next,
                   const kb_conv2d_s8_params *p)
{
    const int32_t made = p->window.out.channels, last = kb_max(made - 4, 0), channels = kb_min(made, 4);
    for (int32_t i = 0; i < count; i += 2, x += 2 * step, out += 2 * next) {
        const int32_t both = i + 1 < count;
        const int16_t *w = p->weight;
        for (int32_t o = 0; o < made; o += 4, w += 2 * p->taps) {
            const int32_t first = kb_min(o, last);
            const int32_t *channel = p->channel + 4 * first;
            int8_t *const to = out + first;
            int32_t sum[8] = {0};
            sum_quad(x, 2 * step, both, w, sum, p->taps);
            for (int32_t c = 0; c < channels; c++, channel += 4) {
                to[c] = kb_output(sum[2 * c], channel, -128);
                if (both)
                    to[c + next] = kb_output(sum[2 * c + 1], channel, -128);
            }
        }
    }
}

#endif
