/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of int8 maps of one shape as TFLite-Micro makes them, where the larger scale is that of one input alone: its
   factor is 1/2, so that only the other one is rounded. */
#include "kb_inline.h"

KB_KERNEL void kb_tflite_add_exact_s8(const int8_t *a, const int8_t *b, int8_t *out,
                                      const kb_tflite_add_exact_s8_params *p)
{
    const int32_t zero = p->zero, multiplier = p->multiplier, shift = p->shift, half = 1 << (shift - 1);
    const int32_t zero_exact = p->zero_exact, last = p->last, offset = p->offset, down = p->down, low = p->low;
    const int8_t *exact = p->swapped ? b : a, *rounded = p->swapped ? a : b;
    KB_NO_UNROLL
    for (const int8_t *const end = out + p->count; out < end;) {
        const int32_t x = (*rounded++ - zero) * (1 << 20);
        const int32_t of = (kb_multiply_high_rounded(2 * x, multiplier, half) + (x >> 31)) >> shift;
        const int32_t sum = (*exact++ - zero_exact) * (1 << 19) + of;
        *out++ = kb_saturate((kb_multiply_high_rounded(2 * sum, last, offset) + (sum >> 31)) >> down, low);
    }
}
