/* SPDX-License-Identifier: Apache-2.0 */
/* Binary convolution with float output, whose weights have a centre (conv2d_b1_centred_s8.c). */
#include "kb_bits.h"

#define STORE(to, sum, rest, p, o)                                                                                     \
    const float centred = (float)(sum) + (p)->centre[o] * (float)-(rest);                                              \
    const float value = (p)->scale[o] * centred + (p)->bias[o];                                                        \
    *(to) = (p)->relu && value < 0.0f ? 0.0f : value

KB_BITS_FINISH(float, kb_conv2d_b1_centred_f32_params, STORE)
KB_BITS_CONV2D(kb_conv2d_b1_centred_f32, float, kb_conv2d_b1_centred_f32_params)
