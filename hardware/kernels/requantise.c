/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

int32_t kb_requantise(int64_t acc, int32_t multiplier, int32_t shift)
{
    const int64_t product = acc * multiplier, limit = 1 << 30;
    if (shift > 32)
        return (((int32_t)(product >> 32) >> (shift - 33)) + 1) >> 1;
    const int64_t rounded = ((product >> (shift - 1)) + 1) >> 1;
    return (int32_t)(rounded < -limit ? -limit : rounded > limit ? limit : rounded);
}
