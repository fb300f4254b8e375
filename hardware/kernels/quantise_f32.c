/* SPDX-License-Identifier: Apache-2.0 */
/* Floats to int8. */
#include "kb_pointwise.h"

/* Rounded half to even by a sum with 1.5 * 2^23, whose last bit is worth 1; clamped before, so that nothing overflows.
   What is no number is not above `low`. */
KB_INLINE int8_t of(float x, const kb_quantise_f32_params *p)
{
    const float low = (float)(-128 - p->zero), high = (float)(127 - p->zero), magic = 12582912.0f;
    float scaled = x / p->scale;
    scaled = scaled > low ? scaled : low;
    scaled = scaled < high ? scaled : high;
    scaled += magic;
    int32_t bits, none;
    __builtin_memcpy(&bits, &scaled, 4);
    __builtin_memcpy(&none, &magic, 4);
    return (int8_t)(bits - none + p->zero);
}

KB_POINTWISE(kb_quantise_f32, float, int8_t, kb_quantise_f32_params)
