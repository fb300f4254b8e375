/* SPDX-License-Identifier: Apache-2.0 */
/* Binary convolution with int8 output. */
#include "kb_few.h"

#define STORE(to, sum, rest, p, o)                                                                                     \
    const int32_t *c = (p)->channel + 3 * (o);                                                                         \
    *(to) = kb_saturate(kb_bits_requantise(256 * (sum) + c[0], c[1], c[2], (p)->out_zero), (p)->low)

KB_BITS_FINISH(int8_t, kb_conv2d_b1_s8_params, STORE)
KB_BITS_CONV2D(kb_conv2d_b1_s8, int8_t, kb_conv2d_b1_s8_params)
KB_FEW_CONV2D(kb_conv2d_b1_few_s8, int8_t, kb_conv2d_b1_s8_params)
