/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of a convolution's input at 16 bits: all kernel rows of one x, all channels. */
#ifndef KB_COLUMNS_H
#define KB_COLUMNS_H

#include "kb_inline.h"

/* Padding: the same value in `count` columns of `channels`. */
KB_APART void kb_pad(int16_t *to, int32_t value, int32_t channels, int32_t column, int32_t count)
{
    KB_NO_UNROLL
    for (; count > 0; count--, to += column) {
        KB_NO_UNROLL
        for (int32_t c = 0; c < channels; c++)
            to[c] = (int16_t)value;
    }
}

#endif
