/* SPDX-License-Identifier: Apache-2.0 */
/* Binary convolution with int8 output. */
#include "kb_few.h"

#define STORE(to, sum, p, o)                                                                                           \
    const int32_t *c = (p)->channel + 3 * (o);                                                                         \
    *(to) = kb_saturate(requantise(256 * (sum) + c[0], c[1], c[2], (p)->out_zero), (p)->low)

/* With a positive shift one of the product's upper word, whose addend does the rounding and the zero point. */
KB_INLINE int32_t requantise(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero)
{
    if (shift > 0)
        return kb_multiply_high(acc, multiplier, (int32_t)((uint32_t)(2 * zero + 1) << (shift - 1))) >> shift;
    return kb_requantise_once(acc, multiplier, -shift) + zero;
}

KB_BITS_CONV2D(kb_conv2d_b1_s8, kb_conv2d_b1_few_s8, int8_t, kb_conv2d_b1_s8_params, STORE)
