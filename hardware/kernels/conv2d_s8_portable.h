/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on cores without the DSP extension, but for Armv6-M: the inner loops of conv2d_s8.c, which includes
 * this. */
#ifndef KB_CONV2D_S8_PORTABLE_H
#define KB_CONV2D_S8_PORTABLE_H

#include "kb_inline.h"

/* two_pixels and one_pixel leave outputs to `finish`. */
#define FINISHES 0

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

KB_APART void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum, int32_t taps,
                         int32_t quads, int32_t skip, ending *end)
{
    (void)end;
    for (; quads > 0; quads--, sum += 8, w += 2 * taps + skip / 2) {
        pair(x, (int32_t)(y - x) * 2, w, sum, taps);
        pair(x, (int32_t)(y - x) * 2, w + 2, sum + 4, taps);
    }
}

KB_APART void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads, int32_t skip,
                        ending *end)
{
    (void)end;
    for (; quads > 0; quads--, sum += 4, w += 2 * taps + skip / 2) {
        int32_t both[4];
        pair(x, 0, w, both, taps);
        sum[0] = both[0], sum[1] = both[2];
        pair(x, 0, w + 2, both, taps);
        sum[2] = both[0], sum[3] = both[2];
    }
}

/* `count` values to 16 bits. */
KB_INLINE void expand(int16_t *to, const int8_t *from, int32_t count)
{
    KB_NO_UNROLL
    for (int32_t i = 0; i < count; i++)
        to[i] = from[i];
}

#endif
