/* SPDX-License-Identifier: Apache-2.0 */
/* One factor from 0 on, another one below, by channel. */
#include "kb_pointwise.h"

KB_INLINE int8_t of(int8_t value, int32_t channel, const kb_prelu_s8_params *p)
{
    const int32_t x = value - p->in_zero;
    const int32_t *factor = x >= 0 ? p->positive : p->negative + 4 * channel;
    if (factor[3] > 0)
        return kb_saturate(kb_multiply_high(256 * x, factor[1], factor[2]) >> factor[3], -128);
    return kb_saturate(kb_requantise(x, factor[1], -factor[3]) + p->out_zero, -128);
}

KB_CHANNELWISE(kb_prelu_s8, int8_t, kb_prelu_s8_params)
