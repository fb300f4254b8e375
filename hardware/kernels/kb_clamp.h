/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs that saturate at a value above -128, as those of ReLU do where that is not the output's zero point. */
#ifndef KB_CLAMP_H
#define KB_CLAMP_H

#include "kb_dsp.h"
#include "kb_inline.h"

/* `count` outputs to be `low` at least. */
KB_RARE static void kb_clamp(int8_t *out, int32_t count, int32_t low)
{
    int8_t *const end = out + count;
#ifdef __ARM_FEATURE_DSP
    const uint32_t lows = ((uint32_t)low & 0xFF) * 0x01010101;
    KB_NO_UNROLL
    for (const int8_t *const fours = out + (count & ~3); out != fours;) {
        uint32_t a, larger;
        __asm__ volatile("ldr %0, [%2]\n ssub8 %1, %0, %3\n sel %0, %0, %3\n str %0, [%2], #4"
                         : "=&r"(a), "=&r"(larger), "+r"(out)
                         : "r"(lows)
                         : "cc", "memory");
    }
#endif
    KB_NO_UNROLL
    for (; out != end; out++)
        *out = (int8_t)kb_max(*out, low);
}

/* The same of a part of a map, all of which has outputs of at least -128. */
KB_INLINE void kb_clamp_region(int8_t *out, const kb_shape *map, const kb_region *r, int32_t low)
{
    const int32_t row = map->width * map->channels, whole = r->x_end - r->x == map->width;
    const int32_t rows = whole ? 1 : r->y_end - r->y, count = (whole ? r->y_end - r->y : 1) * (r->x_end - r->x);
    out += r->y * row + r->x * map->channels;
    for (int32_t i = 0; i < rows && low > -128; i++, out += row)
        kb_clamp(out, count * map->channels, low);
}

#endif
