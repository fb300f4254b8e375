/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution with weights of few bits on cores without the DSP extension: sums of conv2d_narrow.h, which includes
   this. */
#ifndef KB_CONV2D_NARROW_PORTABLE_H
#define KB_CONV2D_NARROW_PORTABLE_H

#include "kb_inline.h"
#include "kb_output.h"

/* The sums of one pixel, without offsets. */
#if KB_BITS == 4
KB_APART void sum_one(const int16_t *x, const int16_t *w, int32_t taps, int32_t *sum)
{
    uint32_t s3 = 0, s2 = 0, s1 = 0, s0 = 0;
    KB_NO_UNROLL
    for (const int16_t *const end = x + taps; x != end;) {
        const int32_t value = *x++;
        int32_t h = *w++;
        s3 += (uint32_t)(value * h);
        h &= 0xFFF, s2 += (uint32_t)(value * h);
        h &= 0xFF, s1 += (uint32_t)(value * h);
        h &= 0xF, s0 += (uint32_t)(value * h);
    }
    sum[0] = (int32_t)(s0 << 4), sum[1] = (int32_t)(s1 - s0);
    sum[2] = (int32_t)(s2 - s1) >> 4, sum[3] = (int32_t)(s3 - s2) >> 8;
}

/* The sums of two pixels, [channels][2]: both values of a tap in one word, so that a multiplication makes two products,
   which 16 bits hold over KB_PAIRED taps. */
#define KB_PAIRED 16
KB_APART void sum_two(const int16_t *x, const int16_t *y, const int16_t *w, int32_t taps, int32_t *sum)
{
    const int16_t *const end = x + taps;
    for (int32_t i = 0; i < 8; i++)
        sum[i] = 0;
    while (x != end) {
        const int16_t *const stop = x + kb_min(KB_PAIRED, (int32_t)(end - x));
        uint32_t s[4] = {0, 0, 0, 0};
        KB_NO_UNROLL
        while (x != stop) {
            const uint32_t both = (uint32_t)*x++ + ((uint32_t)*y++ << 16);
            const int32_t h = *w++;
            s[0] += both * (uint32_t)(h & 15), s[1] += both * (uint32_t)(h >> 4 & 15);
            s[2] += both * (uint32_t)(h >> 8 & 15), s[3] += both * (uint32_t)(h >> 12);
        }
        KB_UNROLL
        for (int32_t c = 0; c < 4; c++) {
            const int32_t lower = (int16_t)s[c];
            sum[2 * c] += lower * 16, sum[2 * c + 1] += ((int32_t)(s[c] - (uint32_t)lower) >> 16) * 16;
        }
    }
}
#else
/* The product of a value with a half of the fields of a word. */
#define BOTH(x, word) ((uint32_t)((x) * (int16_t)((word) & (KB_FIELDS & 0xFFFF))))

KB_APART void sum_one(const int16_t *x, const int16_t *w, int32_t taps, int32_t *sum)
{
    const int16_t *const end = x + taps;
    int32_t s[4] = {0, 0, 0, 0};
    while (x != end) {
        const int16_t *const stop = x + kb_min(KB_RUN, (int32_t)(end - x));
        uint32_t pair[2] = {0, 0};
        KB_NO_UNROLL
        for (; x != stop; x += 4, w += 2) {
            const uint32_t first = (uint16_t)w[0], second = (uint16_t)w[1];
            const uint32_t low = first | second << 16, high = second | first << 16;
            pair[0] += BOTH(x[0], low) + BOTH(x[1], high) + BOTH(x[2], low >> 8) + BOTH(x[3], high >> 8);
            pair[1] += BOTH(x[0], low >> 4) + BOTH(x[1], high >> 4) + BOTH(x[2], low >> 12) + BOTH(x[3], high >> 12);
        }
        KB_UNROLL
        for (int32_t i = 0; i < 2; i++) {
            const int32_t lower = (int32_t)(pair[i] << 18) >> 18;
            s[2 * i] += lower, s[2 * i + 1] += (int32_t)(pair[i] - (uint32_t)lower) >> 14;
        }
    }
    KB_UNROLL
    for (int32_t c = 0; c < 4; c++)
        sum[c] = s[c] * 128;
}

/* The sums of two pixels: [channels][2]. */
KB_APART void sum_two(const int16_t *x, const int16_t *y, const int16_t *w, int32_t taps, int32_t *sum)
{
    int32_t first[4], second[4];
    sum_one(x, w, taps, first);
    sum_one(y, w, taps, second);
    KB_NO_UNROLL
    for (int32_t c = 0; c < 4; c++)
        sum[2 * c] = first[c], sum[2 * c + 1] = second[c];
}
#endif

#endif
