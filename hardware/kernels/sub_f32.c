/* SPDX-License-Identifier: Apache-2.0 */
/* Differences of floats, broadcast. */
#include "kb_pointwise.h"

KB_INLINE float of(float a, float b, const kb_broadcast_f32_params *p)
{
    return kb_masked_relu(a - b, kb_relu_mask(p->relu));
}

KB_BROADCAST(kb_sub_f32, float, kb_broadcast_f32_params)
