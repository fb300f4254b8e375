/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of many taps on RISC-V, which depthwise_conv2d_wide_s8.h includes. Rows of
   weights are filled up to an even number of words. */
#ifndef KB_DEPTHWISE_CONV2D_WIDE_S8_RV32_H
#define KB_DEPTHWISE_CONV2D_WIDE_S8_RV32_H

#include "depthwise_words.h"

KB_INLINE int32_t even(int32_t taps)
{
    return (taps + 1) & ~1;
}

KB_INLINE void add_rows(const tile *t, const int32_t *x, const int32_t *w, int32_t sum[2])
{
    const int32_t taps = even(t->along.kernel);
    KB_NO_UNROLL
    for (int32_t rows = t->across.kernel; rows > 0; rows--, x += t->pitch - taps) {
        const int32_t *const end = x + taps;
        KB_NO_UNROLL
        for (; x != end; x += 2, w += 2)
            add_halves(x[0] * w[0] + x[1] * w[1], sum);
    }
}

KB_APART void channel(const tile *t, int32_t c, int8_t *out)
{
    const int32_t taps = even(t->along.kernel), words = taps * t->across.kernel;
    int32_t *const weights = t->plane - words;
    for (int32_t i = taps - 1; i < words; i += taps)
        weights[i] = 0;
    outputs(t, c, spread_weights(t, c, weights, taps), out, weights, add_rows);
}

#define CONVOLVE(in, out, scratch, p, r)                                                                               \
    by_tiles(in, out, (int32_t *)(scratch) + (p)->window.kernel_h * ((p)->window.kernel_w + 1) + (p)->window.kernel_w, \
             p, r)

#endif
