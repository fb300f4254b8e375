/* SPDX-License-Identifier: Apache-2.0 */
/* Assembly of int8 convolutions on cores with the DSP extension (conv2d_s8_dsp.h, pointwise_conv2d_s8.h): outputs from
   the sums of a quad of channels. The first channel of each pair has sums in r4 and r8, the second in r6 and r10, and
   the second pixel in the register after each; of one pixel they are r4, r5 and r6, r7. r1 to r3 and lr are lost. Sums
   of first channels begin with the bias, or without where results are rounded twice, with KB_TWICE before, since what
   is doubled is the sum alone. NUMBER(register, i) gets the i-th number of the quad: LOADED from where r12 is at, or as
   another macro says. */
#ifndef KB_QUAD_H
#define KB_QUAD_H

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
#define LOADED(register, i) "ldr.w " register ", [r12, #4 * " #i "]\n"
#ifdef KB_TWICE
#define BEGIN(NUMBER, a, b) "movs.w " a ", #0\n movs.w " b ", #0\n"
#define FIRST_BIAS(NUMBER, i) NUMBER("lr", i)
#define ADD_FIRST(sum) "add.w " sum ", lr, " sum ", lsl #1\n"
#define SCALE(sum) "smmlar lr, " sum ", r1, r2\n add.w " sum ", lr, " sum ", asr #31\n"
#define BY_ROUNDING(once, twice) twice
#else
#define BEGIN(NUMBER, a, b) NUMBER(a, 0) NUMBER(b, 8)
#define FIRST_BIAS(NUMBER, i)
#define ADD_FIRST(sum)
#define SCALE(sum) "smmla " sum ", " sum ", r1, r2\n"
#define BY_ROUNDING(once, twice) once
#endif
#define OUTPUT(sum) SCALE(sum) "asr.w " sum ", " sum ", r3\n ssat " sum ", #8, " sum "\n"

#define FIRST_NUMBERS(NUMBER, bias, multiplier, offset, shift)                                                        \
    FIRST_BIAS(NUMBER, bias) NUMBER("r1", multiplier) NUMBER("r2", offset) NUMBER("r3", shift)
#define SECOND_NUMBERS(NUMBER, bias, multiplier, offset, shift)                                                       \
    NUMBER("lr", bias) NUMBER("r1", multiplier) NUMBER("r2", offset) NUMBER("r3", shift)
/* `shifted`: how many times the sum is what is added. */
#define ADD_SECOND(sum, shifted) "add.w " sum ", lr, " sum shifted "\n"
#define PACK(a, b, c, d) "bfi " a ", " b ", #8, #8\n bfi " a ", " c ", #16, #8\n bfi " a ", " d ", #24, #8\n"

/* A word of four outputs in r4, and of the second pixel in r5. */
#define TWO_PIXELS(NUMBER, shifted)                                                                                           \
    FIRST_NUMBERS(NUMBER, 0, 1, 2, 3) ADD_FIRST("r4") ADD_FIRST("r5") OUTPUT("r4") OUTPUT("r5")                      \
    SECOND_NUMBERS(NUMBER, 4, 5, 6, 7) ADD_SECOND("r6", shifted) ADD_SECOND("r7", shifted)                        \
    OUTPUT("r6") OUTPUT("r7")                                                                                         \
    FIRST_NUMBERS(NUMBER, 8, 9, 10, 11) ADD_FIRST("r8") ADD_FIRST("r9") OUTPUT("r8") OUTPUT("r9")                   \
    SECOND_NUMBERS(NUMBER, 12, 13, 14, 15) ADD_SECOND("r10", shifted) ADD_SECOND("r11", shifted)                      \
    OUTPUT("r10") OUTPUT("r11")                                                                                       \
    PACK("r4", "r6", "r8", "r10") PACK("r5", "r7", "r9", "r11")
#define ONE_PIXEL(NUMBER, shifted)                                                                                            \
    FIRST_NUMBERS(NUMBER, 0, 1, 2, 3) ADD_FIRST("r4") OUTPUT("r4")                                                   \
    SECOND_NUMBERS(NUMBER, 4, 5, 6, 7) ADD_SECOND("r6", shifted) OUTPUT("r6")                                     \
    FIRST_NUMBERS(NUMBER, 8, 9, 10, 11) ADD_FIRST("r5") OUTPUT("r5")                                                \
    SECOND_NUMBERS(NUMBER, 12, 13, 14, 15) ADD_SECOND("r7", shifted) OUTPUT("r7")                                     \
    PACK("r4", "r6", "r5", "r7")
/* clang-format on */

#endif
