/* SPDX-License-Identifier: Apache-2.0 */
/* Average pooling of int8 maps by windows that reach beyond them, and with two roundings by any. */
#include "kb_generic.h"

KB_AVG_POOL_BLOCK(kb_requantise)
KB_POOL_PIXEL(int8_t, kb_avg_pool_s8_params)

#define BEGIN {.window = *g, .in_zero = p->in_zero, .out_zero = p->out_zero}
#define FACTOR(q, p, row, column)                                                                                      \
    const int32_t factor = KB_FACTOR_AT(p, row, column);                                                               \
    q.multiplier = p->multiplier[factor], q.shift = p->shift[factor]
KB_PADDED_POOL(kb_padded_avg_pool_s8, int8_t, kb_padded_avg_pool_s8_params, kb_avg_pool_s8_params, BEGIN, FACTOR)
