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

/* Sums of 32 bits alone are rounded twice; a factor of 1 or more saturates them. */
KB_RARE static int32_t twice(int32_t acc, int32_t multiplier, int32_t shift)
{
    const int32_t limit = 1 << 30;
    for (; shift < 31; shift++)
        acc = acc >= limit ? INT32_MAX : acc < -limit ? INT32_MIN : 2 * acc;
    return kb_min(kb_max(kb_round_twice(acc, multiplier, shift - 31), -limit), limit);
}

int32_t kb_requantise(int64_t acc, int32_t multiplier, int32_t shift)
{
    return shift > 64 ? twice((int32_t)acc, multiplier, shift - 64) : kb_requantise_once(acc, multiplier, shift);
}
