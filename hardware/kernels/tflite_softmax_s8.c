/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax of int8 maps as TFLite-Micro makes it, in gemmlowp's fixed point (fixedpoint.h). */
#include "kb_inline.h"

/* The upper word of twice the product, rounded. */
KB_INLINE int32_t multiply(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* 1 / (2 x) of no integer bits, for x = half / 2^31 from 1/2 to 1, by three steps of Newton and Raphson. */
KB_INLINE int32_t reciprocal(int32_t half)
{
    int32_t x = 1515870810 + multiply(half, -1010580540);
    for (int32_t i = 0; i < 3; i++)
        x += multiply(x, (1 << 29) - multiply(half, x)) * 4;
    return x < 1 << 30 ? 2 * x : INT32_MAX;
}

KB_KERNEL void kb_tflite_softmax_s8(const int8_t *in, int8_t *out, const kb_tflite_softmax_s8_params *p,
                                    const kb_region *r)
{
    const int32_t channels = p->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const int8_t *x = in + (y * p->in.width + r->x) * channels;
        int8_t *to = out + (y * p->in.width + r->x) * channels;
        for (int32_t left = r->x_end - r->x; left > 0; left--, x += channels, to += channels) {
            int32_t largest = x[0];
            uint32_t sum = 0;
            for (int32_t c = 1; c < channels; c++)
                largest = kb_max(x[c], largest);
            for (int32_t c = 0; c < channels; c++)
                sum += ((uint32_t)p->table[largest - x[c]] + (1u << 11)) >> 12;
            const int32_t zeros = __builtin_clz(sum), shift = kb_min(34 - zeros, 31);
            const int32_t factor = reciprocal((int32_t)(sum << zeros >> 1));
            for (int32_t c = 0; c < channels; c++) {
                const int32_t share = multiply(p->table[largest - x[c]], factor);
                to[c] = (int8_t)kb_min((((share >> shift) + 1) >> 1) - 128, 127);
            }
        }
    }
}
