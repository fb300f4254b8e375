/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

/* exp(x) of an x up to 0, as kilobench/compile/ops/softmax.py defines it: there is no libm. */
KB_INLINE float exponential(float x)
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

KB_KERNEL void kb_softmax_f32(const float *in, float *out, const kb_softmax_f32_params *p, const kb_region *r)
{
    const int32_t channels = p->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const float *x = in + (y * p->in.width + r->x) * channels;
        float *to = out + (y * p->in.width + r->x) * channels;
        for (int32_t left = r->x_end - r->x; left > 0; left--, x += channels, to += channels) {
            float largest = x[0], sum = 0;
            for (int32_t c = 1; c < channels; c++)
                largest = x[c] > largest ? x[c] : largest;
            for (int32_t c = 0; c < channels; c++) {
                to[c] = exponential(x[c] - largest);
                sum += to[c];
            }
            const float factor = 1.0f / sum;
            for (int32_t c = 0; c < channels; c++)
                to[c] *= factor;
        }
    }
}
