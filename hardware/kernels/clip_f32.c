/* SPDX-License-Identifier: Apache-2.0 */
/* A clamp of floats. */
#include "kb_pointwise.h"

KB_INLINE float of(float x, const kb_clip_f32_params *p)
{
    x = x > p->low ? x : p->low;
    return x < p->high ? x : p->high;
}

KB_POINTWISE(kb_clip_f32, float, float, kb_clip_f32_params)
