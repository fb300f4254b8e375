#include "kb_inline.h"

int32_t kb_requantise_up(int64_t acc, int32_t multiplier, int32_t shift)
{
    const int64_t rounded = (((acc * multiplier) >> (shift - 1)) + 1) >> 1, limit = 1 << 30;
    return (int32_t)(rounded < -limit ? -limit : rounded > limit ? limit : rounded);
}
