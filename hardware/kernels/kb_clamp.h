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
    for (; end - out >= 4; out += 4) {
        const uint32_t larger = kb_max4(kb_load4(out), lows);
        __builtin_memcpy(out, &larger, 4);
    }
#endif
    KB_NO_UNROLL
    for (; out != end; out++)
        *out = (int8_t)kb_max(*out, low);
}

#endif
