/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of an int8 convolution (kb_columns.h) from the values of its input. */
#ifndef KB_EXPAND_H
#define KB_EXPAND_H

#include "kb_inline.h"

#ifdef __ARM_FEATURE_DSP
/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
/* `count` times some values to 16 bits; behind each `skip` bytes are left as they are. */
KB_APART __attribute__((naked)) void expand(int16_t *to, const int8_t *from, int32_t values, int32_t skip, int32_t count)
{
    __asm__("push {r4-r8, lr}\n ldr.w r8, [sp, #24]\n cmp.w r8, #0\n ble.w 5f\n"
            ".balign 4\n"
            "1: subs.w r12, r2, #8\n bmi 3f\n"
            ".balign 4\n"
            "2: ldr.w r4, [r1], #8\n ldr r5, [r1, #-4]\n subs.w r12, r12, #8\n"
            "sxtb16 r6, r4\n sxtb16 r4, r4, ror #8\n sxtb16 r7, r5\n sxtb16 r5, r5, ror #8\n"
            "pkhbt lr, r6, r4, lsl #16\n pkhtb r4, r4, r6, asr #16\n"
            "pkhbt r6, r7, r5, lsl #16\n pkhtb r5, r5, r7, asr #16\n"
            "str.w r4, [r0, #4]\n str.w r6, [r0, #8]\n str.w r5, [r0, #12]\n str.w lr, [r0], #16\n bpl.w 2b\n"
            "3: ands r12, r12, #7\n bne 6f\n"
            "4: add.w r0, r0, r3\n subs.w r8, r8, #1\n bne.w 1b\n"
            "5: pop {r4-r8, pc}\n"
            "6: ldrsb r4, [r1], #1\n subs.w r12, r12, #1\n strh r4, [r0], #2\n bne 6b\n b 4b\n");
}
/* `count` pixels of three values of three rows, `line` bytes apart, to 16 bits; those of a column follow one another, and
   columns are `column` halves apart. */
KB_APART __attribute__((naked)) void copy_colours(int16_t *to, const int8_t *from, int32_t line, int32_t column,
                                                           int32_t count)
{
    __asm__("push {r4-r11, lr}\n ldr.w r4, [sp, #36]\n cmp.w r4, #0\n ble.w 2f\n"
            ".balign 4\n"
            "1: ldrsb.w r8, [r1, r2]\n ldrsb.w r11, [r1, r2, lsl #1]\n ldrsb.w r5, [r1], #1\n"
            "ldrsb.w r9, [r1, r2]\n ldrsb.w r12, [r1, r2, lsl #1]\n ldrsb.w r6, [r1], #1\n"
            "ldrsb.w r10, [r1, r2]\n ldrsb.w lr, [r1, r2, lsl #1]\n ldrsb.w r7, [r1], #1\n subs.w r4, r4, #1\n"
            "strh.w r5, [r0]\n strh.w r6, [r0, #2]\n strh.w r7, [r0, #4]\n"
            "strh.w r8, [r0, #6]\n strh.w r9, [r0, #8]\n strh.w r10, [r0, #10]\n"
            "strh.w r11, [r0, #12]\n strh.w r12, [r0, #14]\n strh.w lr, [r0, #16]\n"
            "add.w r0, r0, r3, lsl #1\n bne.w 1b\n"
            "2: pop {r4-r11, pc}\n");
}
/* clang-format on */
#else
/* `count` times some values to 16 bits; behind each `skip` bytes are left as they are. */
KB_INLINE void expand(int16_t *to, const int8_t *from, int32_t values, int32_t skip, int32_t count)
{
    KB_NO_UNROLL
    for (; count > 0; count--, to += skip / 2)
        for (int32_t left = values; left > 0; left--)
            *to++ = *from++;
}

/* `count` pixels of three values of three rows, `line` bytes apart, to 16 bits; those of a column follow one another,
   and columns are `column` halves apart. */
KB_INLINE void copy_colours(int16_t *to, const int8_t *from, int32_t line, int32_t column, int32_t count)
{
    KB_NO_UNROLL
    for (; count > 0; count--, to += column, from += 3)
        for (int32_t i = 0; i < 9; i++)
            to[i] = from[i / 3 * line + i % 3];
}
#endif

#endif
