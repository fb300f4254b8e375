/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 on RISC-V, which depthwise_conv2d_3x3_s8.h includes. */
#ifndef KB_DEPTHWISE_CONV2D_3X3_S8_RV32_H
#define KB_DEPTHWISE_CONV2D_3X3_S8_RV32_H

#include "depthwise_words.h"

KB_INLINE void add_nine(const tile *t, const int32_t *x, const int32_t *w, int32_t sum[2])
{
    const int32_t *const rows[3] = {x, x + t->pitch, x + 2 * t->pitch};
    int32_t product[9];
    for (int32_t i = 0; i < 9; i++)
        product[i] = rows[i / 3][i % 3] * w[i];
    for (int32_t i = 0; i < 8; i += 2)
        add_halves(product[i] + product[i + 1], sum);
    add_halves(product[8], sum);
}

KB_APART void channel(const tile *t, int32_t c, int8_t *out)
{
    const int8_t *const from = t->p->weight + c;
    int32_t w[9], sum = 0;
    for (int32_t i = 0; i < 9; i++)
        sum += w[i] = from[i / 3 * t->across.weight + i % 3 * t->along.weight];
    outputs(t, c, sum, out, w, add_nine);
}

#define CONVOLVE(in, out, scratch, p, r) by_tiles(in, out, scratch, p, r)

#endif
