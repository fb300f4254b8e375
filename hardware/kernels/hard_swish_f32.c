/* SPDX-License-Identifier: Apache-2.0 */
/* x * min(max(x + 3, 0), 6) / 6. */
#include "kb_pointwise.h"

KB_INLINE float of(float x, const kb_pointwise_params *p)
{
    (void)p;
    float line = x + 3.0f;
    line = line > 0 ? line : 0;
    line = line < 6.0f ? line : 6.0f;
    return x * line * (1.0f / 6);
}

KB_POINTWISE(kb_hard_swish_f32, float, float, kb_pointwise_params)
