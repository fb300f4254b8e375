/* SPDX-License-Identifier: Apache-2.0 */
/* Products of int8 maps, broadcast. */
#include "kb_pointwise.h"

KB_INLINE int8_t of(int8_t a, int8_t b, const kb_mul_s8_params *p)
{
    const int32_t product = (a - p->zero_a) * (b - p->zero_b);
    return kb_saturate(KB_BY_CHANNEL(product, p->channel, p->out_zero), p->low);
}

KB_BROADCAST(kb_mul_s8, int8_t, kb_mul_s8_params)
