/* SPDX-License-Identifier: Apache-2.0 */
/* How int8 depthwise convolutions make an output of a sum: with KB_TWICE before, rounded twice. */
#ifndef KB_DEPTHWISE_H
#define KB_DEPTHWISE_H

#include "kb_inline.h"

/* Of one channel: how far its products are shifted to the left, lest the upper word of what is scaled lacks bits; what
   their sum begins with; the factor; what rounds and adds the zero point; and the shift to the right. */
typedef struct {
    int32_t left, bias, multiplier, offset, right;
} scaling;

/* From the three numbers of kb_depthwise_conv2d_s8_params. */
KB_INLINE scaling scaling_of(const int32_t *channel, int32_t zero)
{
    const int32_t right = channel[2] & 0xFF;
    return (scaling){channel[2] >> 8, channel[0], channel[1], (2 * zero + 1) * (1 << (right - 1)), right};
}

/* The output of a sum. */
KB_INLINE int8_t finish(const scaling *s, int32_t acc, int32_t low)
{
#ifdef KB_TWICE
    const int32_t upper = kb_multiply_high_rounded(acc, s->multiplier, s->offset + (acc >> 31));
#else
    const int32_t upper = kb_multiply_high(acc, s->multiplier, s->offset);
#endif
    return kb_saturate(upper >> s->right, low);
}

#endif
