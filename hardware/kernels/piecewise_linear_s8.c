/* SPDX-License-Identifier: Apache-2.0 */
/* Two lines that meet, by channel. */
#include "kb_pointwise.h"

KB_INLINE int8_t of(int8_t value, int32_t channel, const kb_piecewise_linear_s8_params *p)
{
    const int32_t *c = p->channel + 5 * channel;
    const int32_t *line = c + (value >= c[0] ? 1 : 3);
    return kb_saturate((value * line[0] + line[1]) >> p->fraction, -128);
}

KB_CHANNELWISE(kb_piecewise_linear_s8, int8_t, kb_piecewise_linear_s8_params)
