/* SPDX-License-Identifier: Apache-2.0 */
/* x, or slope * x below 0, by channel. */
#include "kb_pointwise.h"

KB_INLINE float of(float x, int32_t channel, const kb_prelu_f32_params *p)
{
    return x >= 0 ? x : p->slope[channel] * x;
}

KB_CHANNELWISE(kb_prelu_f32, float, kb_prelu_f32_params)
