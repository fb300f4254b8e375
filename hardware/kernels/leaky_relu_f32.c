/* SPDX-License-Identifier: Apache-2.0 */
/* x, or slope * x below 0. */
#include "kb_pointwise.h"

KB_INLINE float of(float x, const kb_leaky_relu_f32_params *p)
{
    return x >= 0 ? x : p->slope * x;
}

KB_POINTWISE(kb_leaky_relu_f32, float, float, kb_leaky_relu_f32_params)
