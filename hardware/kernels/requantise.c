/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

KB_INLINE int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

__attribute__((noinline)) int32_t kb_requantise_once(int64_t acc, int32_t multiplier, int32_t shift)
{
    const int64_t product = acc * multiplier, limit = 1 << 30;
    if (shift > 32)
        return (((int32_t)(product >> 32) >> (shift - 33)) + 1) >> 1;
    return (int32_t)clamp(((product >> (shift - 1)) + 1) >> 1, -limit, limit);
}

KB_APART int32_t twice(int64_t acc, int32_t multiplier, int32_t shift)
{
    const int32_t left = kb_max(31 - shift, 0), right = kb_max(shift - 31, 0), limit = 1 << 30;
    const int64_t shifted = clamp(acc * (1 << left), INT32_MIN, INT32_MAX);
    const int32_t rounded = kb_round_twice((int32_t)shifted, multiplier, right);
    return kb_min(kb_max(rounded, -limit), limit);
}

int32_t kb_requantise(int64_t acc, int32_t multiplier, int32_t shift)
{
    return shift > 64 ? twice(acc, multiplier, shift - 64) : kb_requantise_once(acc, multiplier, shift);
}
