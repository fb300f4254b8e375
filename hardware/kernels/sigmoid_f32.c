/* SPDX-License-Identifier: Apache-2.0 */
/* 1 / (1 + exp(-x)). */
#include "kb_exponential.h"
#include "kb_pointwise.h"

KB_INLINE float of(float x, const kb_pointwise_params *p)
{
    (void)p;
    const float e = kb_exponential(x < 0 ? x : -x);
    return (x >= 0 ? 1.0f : e) / (1.0f + e);
}

KB_POINTWISE(kb_sigmoid_f32, float, float, kb_pointwise_params)
