/* SPDX-License-Identifier: Apache-2.0 */
/* Binary convolution with int8 output. */
#include "kb_bits.h"

#define STORE(to, sum, p, o)                                                                                           \
    const int32_t acc = 256 * (sum) + p->bias[o];                                                                      \
    *(to) = kb_saturate(kb_requantise_once(acc, p->multiplier[o], p->shift[o]) + p->out_zero, p->low)

KB_BITS_CONV2D(kb_conv2d_b1_s8, int8_t, kb_conv2d_b1_s8_params, STORE)
