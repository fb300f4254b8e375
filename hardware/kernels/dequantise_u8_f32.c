/* SPDX-License-Identifier: Apache-2.0 */
/* uint8 to floats; a small kernel, as only a network's input is of this type. */
#include "kb_pointwise.h"

KB_INLINE float of(uint8_t x, const kb_dequantise_u8_f32_params *p)
{
    return (float)(x - p->zero) * p->scale;
}

KB_RARE KB_POINTWISE(kb_dequantise_u8_f32, uint8_t, float, kb_dequantise_u8_f32_params)
