/* SPDX-License-Identifier: Apache-2.0 */
/* int8 to floats. */
#include "kb_pointwise.h"

KB_INLINE float of(int8_t x, const kb_dequantise_s8_f32_params *p)
{
    return (float)(x - p->zero) * p->scale;
}

KB_POINTWISE(kb_dequantise_s8_f32, int8_t, float, kb_dequantise_s8_f32_params)
