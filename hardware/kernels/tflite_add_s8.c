/* SPDX-License-Identifier: Apache-2.0 */
/* Sums and differences of int8 maps as TFLite-Micro makes them, broadcast. */
#include "kb_pointwise.h"

KB_INLINE int8_t of(int8_t a, int8_t b, const kb_tflite_add_s8_params *p)
{
    const int32_t of_a = kb_round_small_twice((a - p->zero_a) * (1 << 20), p->multiplier[0], p->shift[0]);
    const int32_t of_b = kb_round_small_twice((b - p->zero_b) * (1 << 20), p->multiplier[1], p->shift[1]);
    return kb_saturate(kb_round_small_twice(of_a + p->sign * of_b, p->multiplier[2], p->shift[2]) + p->out_zero,
                       p->low);
}

KB_BROADCAST(kb_tflite_add_s8, int8_t, kb_tflite_add_s8_params)
