/* SPDX-License-Identifier: Apache-2.0 */
/* min(max(slope * x + offset, 0), 1). */
#include "kb_pointwise.h"

KB_INLINE float of(float x, const kb_hard_sigmoid_f32_params *p)
{
    float line = p->slope * x + p->offset;
    line = line > 0 ? line : 0;
    return line < 1.0f ? line : 1.0f;
}

KB_POINTWISE(kb_hard_sigmoid_f32, float, float, kb_hard_sigmoid_f32_params)
