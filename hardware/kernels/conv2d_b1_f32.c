/* SPDX-License-Identifier: Apache-2.0 */
/* Binary convolution with float output. */
#include "kb_few.h"

#define STORE(to, sum, rest, p, o)                                                                                     \
    const float value = (p)->scale[o] * (float)(sum) + (p)->bias[o];                                                   \
    *(to) = (p)->relu && value < 0.0f ? 0.0f : value

KB_BITS_FINISH(float, kb_conv2d_b1_f32_params, STORE)
KB_BITS_CONV2D(kb_conv2d_b1_f32, float, kb_conv2d_b1_f32_params)
KB_FEW_CONV2D(kb_conv2d_b1_few_f32, float, kb_conv2d_b1_f32_params)
