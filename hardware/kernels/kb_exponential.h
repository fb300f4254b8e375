/* SPDX-License-Identifier: Apache-2.0 */
/* The exponential: there is no libm. */
#ifndef KB_EXPONENTIAL_H
#define KB_EXPONENTIAL_H

#include "kb_inline.h"

/* exp(x) of an x up to 0, as kilobench/compile/ops/_exponential.py defines it. */
KB_INLINE float kb_exponential(float x)
{
    x = x > -87.0f ? x : -87.0f;
    const int32_t n = (int32_t)(x * 1.44269504f - 0.5f);
    const float whole = (float)n, r = x - whole * 0.693359375f - whole * -2.12194440e-4f;
    float result = 1.0f / 720;
    result = result * r + 1.0f / 120;
    result = result * r + 1.0f / 24;
    result = result * r + 1.0f / 6;
    result = result * r + 1.0f / 2;
    result = result * r + 1.0f;
    result = result * r + 1.0f;
    const uint32_t bits = (uint32_t)(n + 127) << 23;
    float power;
    __builtin_memcpy(&power, &bits, 4);
    return result * power;
}

#endif
