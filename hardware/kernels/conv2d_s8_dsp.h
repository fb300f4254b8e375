/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on cores with the DSP extension, whose SMLAD adds the products of two taps: the inner loops of
   conv2d_s8.c, which includes this. */
#ifndef KB_CONV2D_S8_DSP_H
#define KB_CONV2D_S8_DSP_H

#include "kb_inline.h"

/* two_pixels and one_pixel make outputs of sums. */
#define FINISHES 1

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
/* Two taps of two pixels (in r12 and lr) with one pair. */
#define PAIR(s0, s1, b0, b1)                                                                                          \
    "smlad " s0 ", r3, r12, " s0 "\n smlad " s1 ", r3, lr, " s1 "\n sxtb16 r3, r3\n"                                  \
    "smlad " b0 ", r3, r12, " b0 "\n smlad " b1 ", r3, lr, " b1 "\n"
#define STEP                                                                                                          \
    "ldr r12, [r0], #4\n ldr lr, [r1], #4\n ldr r3, [r2], #4\n" PAIR("r6", "r7", "r4", "r5")                          \
    "ldr r3, [r2], #4\n" PAIR("r10", "r11", "r8", "r9")

/* The outputs of two pixels and one channel from their sums, by the bias, multiplier, offset and shift in r0 to r3. */
#ifdef KB_TWICE
#define SCALE(a, b)                                                                                                   \
    "add.w " a ", r0, " a ", lsl #1\n add.w " b ", r0, " b ", lsl #1\n"                                               \
    "smmlar r0, " a ", r1, r2\n add.w " a ", r0, " a ", asr #31\n"                                                    \
    "smmlar r0, " b ", r1, r2\n add.w " b ", r0, " b ", asr #31\n"
#else
#define SCALE(a, b)                                                                                                   \
    "add " a ", " a ", r0\n add " b ", " b ", r0\n smmla " a ", " a ", r1, r2\n smmla " b ", " b ", r1, r2\n"
#endif
#define FINISH(a, b)                                                                                                  \
    "ldm r12!, {r0-r3}\n" SCALE(a, b)                                                                                 \
    "asr " a ", " a ", r3\n asr " b ", " b ", r3\n ssat " a ", #8, " a "\n ssat " b ", #8, " b "\n"

/* 56 bytes a step: the first turn of the loop of eight steps is entered where what is left over begins. Without taps
   the sums are read; with `end`, outputs are made of them. */
KB_APART __attribute__((naked)) void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum,
                                                int32_t taps, int32_t quads, int32_t skip, ending *end)
{
    __asm__("push {r4-r11, lr}\n sub sp, #20\n stm sp, {r0-r3}\n" /* at 56, 60, 64, 68: taps, quads, skip, end */
            "ldr r3, [sp, #56]\n adr r12, 6f\n cbz r3, 1f\n"
            "ubfx r3, r3, #1, #3\n rsb r3, r3, #8\n and r3, r3, #7\n rsb r3, r3, r3, lsl #3\n"
            "adr r12, 2f\n add r12, r12, r3, lsl #3\n"
            "1: orr r12, r12, #1\n str r12, [sp, #16]\n"
            ".balign 4\n"
            "7: ldr.w r3, [sp, #56]\n ldr.w r12, [sp, #16]\n add.w r3, r2, r3, lsl #2\n str.w r3, [sp, #8]\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n"
            "mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n bx r12\n"
            ".balign 4\n"
            "2:\n" STEP STEP STEP STEP STEP STEP STEP STEP "ldr r3, [sp, #8]\n cmp r2, r3\n bne.w 2b\n"
            "subs r6, r6, r4\n subs r7, r7, r5\n sub r10, r10, r8\n sub r11, r11, r9\n"
            "asrs r6, r6, #8\n asrs r7, r7, #8\n asr r10, r10, #8\n asr r11, r11, #8\n"
            ".balign 4\n"
            "3: ldr.w lr, [sp, #68]\n cmp lr, #0\n beq.w 5f\n ldr.w r12, [lr]\n"
            FINISH("r4", "r5") FINISH("r6", "r7") FINISH("r8", "r9") FINISH("r10", "r11")
            "str r12, [lr]\n ldr r0, [lr, #4]\n ldr r1, [lr, #8]\n ldr r2, [lr, #12]\n"
            "bfi r4, r6, #8, #8\n bfi r4, r8, #16, #8\n bfi r4, r10, #24, #8\n"
            "bfi r5, r7, #8, #8\n bfi r5, r9, #16, #8\n bfi r5, r11, #24, #8\n"
            "ssub8 r3, r4, r2\n sel r4, r4, r2\n ssub8 r3, r5, r2\n sel r5, r5, r2\n"
            "str r5, [r0, r1]\n str r4, [r0], #4\n str r0, [lr, #4]\n"
            "4: ldr r0, [sp]\n ldr r1, [sp, #4]\n ldr r2, [sp, #8]\n ldr r4, [sp, #64]\n ldr r5, [sp, #60]\n"
            "add r2, r4\n subs r5, #1\n str r5, [sp, #60]\n bne.w 7b\n"
            "add sp, #20\n pop {r4-r11, pc}\n"
            "5: ldr r3, [sp, #12]\n stmia r3!, {r4-r11}\n str r3, [sp, #12]\n b 4b\n"
            ".balign 4\n"
            "6: ldr r3, [sp, #12]\n ldmia r3!, {r4-r11}\n str r3, [sp, #12]\n b 3b\n");
}

/* Four taps of one pixel with both pairs: 72 bytes. */
#define FOUR_TAPS                                                                                                     \
    "ldr.w r8, [r1], #16\n ldr.w r12, [r0], #8\n ldr r9, [r1, #-12]\n ldr r10, [r1, #-8]\n"                       \
    "ldr r11, [r1, #-4]\n ldr lr, [r0, #-4]\n"                                                                    \
    "smlad r4, r8, r12, r4\n smlad r5, r9, r12, r5\n sxtb16 r8, r8\n sxtb16 r9, r9\n"                                 \
    "smlad r6, r8, r12, r6\n smlad r7, r9, r12, r7\n"                                                                 \
    "smlad r4, r10, lr, r4\n smlad r5, r11, lr, r5\n sxtb16 r10, r10\n sxtb16 r11, r11\n"                             \
    "smlad r6, r10, lr, r6\n smlad r7, r11, lr, r7\n"
/* The output of one channel from its sum, by what r12 points to. */
#ifdef KB_TWICE
#define FINISH_ONE(a)                                                                                                 \
    "ldm r12!, {r8-r11}\n add.w " a ", r8, " a ", lsl #1\n smmlar r8, " a ", r9, r10\n"                            \
    "add.w " a ", r8, " a ", asr #31\n asr.w " a ", " a ", r11\n ssat " a ", #8, " a "\n"
#else
#define FINISH_ONE(a)                                                                                                 \
    "ldm r12!, {r8-r11}\n add.w " a ", " a ", r8\n smmla " a ", " a ", r9, r10\n"                                  \
    "asr.w " a ", " a ", r11\n ssat " a ", #8, " a "\n"
#endif

/* As two_pixels, but with taps. */
KB_APART __attribute__((naked)) void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps,
                                               int32_t quads, int32_t skip, ending *end)
{
    __asm__("push {r4-r11, lr}\n sub sp, #12\n str r0, [sp]\n str r3, [sp, #4]\n" /* at 48, 52, 56: quads, skip, end */
            ".balign 4\n"
            "1: ldr.w r0, [sp]\n ldr.w r8, [sp, #4]\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n"
            "add.w r3, r1, r8, lsl #2\n tst.w r8, #4\n bne.w 3f\n"
            ".balign 4\n"
            "2:\n" FOUR_TAPS "3:\n" FOUR_TAPS "cmp.w r1, r3\n bne.w 2b\n"
            "sub.w r4, r4, r6\n sub.w r5, r5, r7\n asr.w r4, r4, #8\n asr.w r5, r5, #8\n"
            "ldr.w lr, [sp, #56]\n cmp.w lr, #0\n beq.w 5f\n ldr.w r12, [lr]\n"
            FINISH_ONE("r6") FINISH_ONE("r4") FINISH_ONE("r7") FINISH_ONE("r5")
            "str.w r12, [lr]\n ldr.w r8, [lr, #4]\n ldr.w r9, [lr, #12]\n"
            "bfi r6, r4, #8, #8\n bfi r6, r7, #16, #8\n bfi r6, r5, #24, #8\n"
            "ssub8 r10, r6, r9\n sel r6, r6, r9\n str.w r6, [r8], #4\n str.w r8, [lr, #4]\n"
            "4: ldr.w r8, [sp, #52]\n ldr.w r9, [sp, #48]\n add.w r1, r1, r8\n subs.w r9, r9, #1\n"
            "str.w r9, [sp, #48]\n bne.w 1b\n add sp, #12\n pop {r4-r11, pc}\n"
            "5: str.w r4, [r2, #4]\n str.w r7, [r2, #8]\n str.w r5, [r2, #12]\n str.w r6, [r2], #16\n b 4b\n");
}
/* clang-format on */

/* `count` values to 16 bits. */
KB_APART void expand(int16_t *to, const int8_t *from, int32_t count)
{
    for (; count >= 8; count -= 8) {
        uint32_t a, b, c, d;
        __asm__("ldr %[a], [%[from]], #8\n ldr %[b], [%[from], #-4]\n"
                "sxtb16 %[c], %[a]\n sxtb16 %[a], %[a], ror #8\n pkhbt %[d], %[c], %[a], lsl #16\n"
                "pkhtb %[a], %[a], %[c], asr #16\n str %[d], [%[to]], #16\n str %[a], [%[to], #-12]\n"
                "sxtb16 %[c], %[b]\n sxtb16 %[b], %[b], ror #8\n pkhbt %[d], %[c], %[b], lsl #16\n"
                "pkhtb %[b], %[b], %[c], asr #16\n str %[d], [%[to], #-8]\n str %[b], [%[to], #-4]\n"
                : [from] "+r"(from), [to] "+r"(to), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)
                :
                : "memory");
    }
    KB_NO_UNROLL
    for (int32_t i = 0; i < count; i++)
        to[i] = from[i];
}

#endif
