/* SPDX-License-Identifier: Apache-2.0 */
/* How int8 convolutions make an output of a sum in C: with KB_TWICE before, rounded twice. */
#ifndef KB_OUTPUT_H
#define KB_OUTPUT_H

#include "kb_inline.h"

/* By a row of `channel` of kb_conv2d_s8_params. */
KB_INLINE int8_t kb_output(int32_t sum, const int32_t *channel, int32_t low)
{
#ifdef KB_TWICE
    const int32_t acc = 2 * sum + channel[0];
    const int32_t upper = kb_multiply_high_rounded(acc, channel[1], channel[2] + (acc >> 31));
#else
    const int32_t upper = kb_multiply_high(sum + channel[0], channel[1], channel[2]);
#endif
    return kb_saturate(upper >> channel[3], low);
}

#endif
