/* SPDX-License-Identifier: Apache-2.0 */
/* Two lines that meet, by channel. */
#include "kb_pointwise.h"

KB_INLINE float of(float x, int32_t channel, const kb_piecewise_linear_f32_params *p)
{
    const float z = x - p->bend[channel];
    const float line = z >= 0.0f ? p->above[channel] * z : p->below[channel] * z;
    return line + p->offset[channel];
}

KB_CHANNELWISE(kb_piecewise_linear_f32, float, kb_piecewise_linear_f32_params)
