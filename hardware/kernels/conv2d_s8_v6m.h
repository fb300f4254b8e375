/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on Armv6-M: the inner loops of conv2d_s8_three.h, which includes this. */
#ifndef KB_CONV2D_S8_V6M_H
#define KB_CONV2D_S8_V6M_H

#include "kb_v6m.h"

/* With two roundings twice the sum is scaled. */
#ifdef KB_TWICE
#define DOUBLE "adds r2, r2, r2\n"
#else
#define DOUBLE
#endif

/* clang-format off */
#define ENTER "push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4-r7}\n"
#define LEAVE "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n"

/* Two taps of two channels; r7 holds what rounds the upper byte of a half. */
#define TWO_TAPS(offset)                                                                                              \
    "ldmia r0!, {r2, r3}\n ldr r4, [r1, #" offset "]\n"                                                               \
    "sxtb r5, r4\n mov r6, r5\n muls r6, r2, r6\n add r8, r6\n muls r5, r3, r5\n add r9, r5\n"                        \
    "lsls r5, r4, #16\n adds r5, r5, r7\n asrs r5, r5, #24\n"                                                         \
    "muls r2, r5, r2\n add r10, r2\n muls r3, r5, r3\n add r11, r3\n"                                                 \
    "ldmia r0!, {r2, r3}\n"                                                                                           \
    "asrs r5, r4, #16\n sxtb r5, r5\n mov r6, r5\n muls r6, r2, r6\n add r8, r6\n muls r5, r3, r5\n add r9, r5\n"     \
    "adds r4, r4, r7\n asrs r4, r4, #24\n"                                                                            \
    "muls r2, r4, r2\n add r10, r2\n muls r3, r4, r3\n add r11, r3\n"

/* The sums of a channel, from those of both words to where r6 is. */
#define SUMS(u, v)                                                                                                    \
    "mov r4, " u "\n lsls r2, r4, #11\n asrs r2, r2, #11\n subs r4, r4, r2\n lsrs r4, r4, #21\n"                       \
    "mov r3, " v "\n lsls r5, r4, #11\n subs r3, r3, r5\n lsls r5, r3, #10\n asrs r5, r5, #10\n"                       \
    "subs r3, r3, r5\n asrs r3, r3, #22\n lsls r3, r3, #11\n adds r3, r3, r4\n"                                       \
    "ldr r4, [sp, #12]\n cmp r4, #0\n beq 3f\n ldr r4, [r6]\n adds r2, r2, r4\n ldr r4, [r6, #4]\n adds r3, r3, r4\n"  \
    "ldr r4, [r6, #8]\n adds r5, r5, r4\n 3: stmia r6!, {r2, r3, r5}\n"

/* The sums of three pixels, of all channels. On the stack: x, sum, sum_end, the taps before, and how far the pair after
   the next one is from the end of the weights of the next; lr has that of the next pair. */
KB_APART __attribute__((naked)) void three_pixels(const piece *p)
{
    __asm__(ENTER
            "ldmia r0!, {r2-r7}\n mov r12, r3\n mov r1, r4\n ldr r0, [r0]\n"
            "subs r3, r2, r3\n asrs r3, r3, #1\n adds r3, #4\n mov lr, r3\n subs r7, #4\n"
            "push {r7}\n push {r0}\n push {r2, r5, r6}\n movs r7, #128\n lsls r7, r7, #16\n"
            "1: ldr r0, [sp]\n movs r2, #0\n mov r8, r2\n mov r9, r2\n mov r10, r2\n mov r11, r2\n"
            ".balign 4\n"
            "2:\n" TWO_TAPS("0") TWO_TAPS("8") "adds r1, #16\n cmp r0, r12\n bne 2b\n"
            "ldr r6, [sp, #4]\n"
            SUMS("r8", "r9") SUMS("r10", "r11") "str r6, [sp, #4]\n"
            "add r1, lr\n ldr r0, [sp, #16]\n mov r2, lr\n mov lr, r0\n str r2, [sp, #16]\n"
            "ldr r0, [sp, #8]\n cmp r6, r0\n beq 4f\n b 1b\n"
            "4: add sp, #20\n" LEAVE);
}

/* A half word of weights in `pair`, which is destroyed, by the value in `x`. */
#define TAP(pair, x, both, first)                                                                                     \
    "mov r7, " pair "\n muls r7, " x ", r7\n add " both ", r7\n"                                                      \
    "sxtb " pair ", " pair "\n muls " pair ", " x ", " pair "\n add " first ", " pair "\n"
#define TAPS_OF(word, both, first)                                                                                    \
    "sxth r6, " word "\n" TAP("r6", "r2", both, first) "asrs " word ", " word ", #16\n" TAP(word, "r3", both, first)
#define APART(both, first)                                                                                            \
    "mov r2, " first "\n mov r3, " both "\n subs r3, r3, r2\n asrs r3, r3, #8\n"

/* The sums of one pixel, of all channels. On the stack: x, sum_end, skip, the taps before. */
KB_APART __attribute__((naked)) void one_pixel(const piece *p)
{
    __asm__(ENTER
            "ldmia r0!, {r2-r7}\n mov r12, r3\n mov r1, r4\n mov lr, r5\n ldr r0, [r0]\n push {r0}\n push {r7}\n"
            "push {r2, r6}\n"
            "1: ldr r0, [sp]\n movs r2, #0\n mov r8, r2\n mov r9, r2\n mov r10, r2\n mov r11, r2\n"
            ".balign 4\n"
            "2: ldmia r0!, {r2, r3}\n ldmia r1!, {r4, r5}\n" TAPS_OF("r4", "r8", "r9") TAPS_OF("r5", "r10", "r11")
            "cmp r0, r12\n bne 2b\n"
            APART("r10", "r11") "mov r4, r2\n mov r5, r3\n" APART("r8", "r9")
            "mov r6, lr\n ldr r0, [sp, #12]\n cmp r0, #0\n beq 3f\n"
            "ldr r0, [r6]\n adds r2, r2, r0\n ldr r0, [r6, #4]\n adds r3, r3, r0\n"
            "ldr r0, [r6, #8]\n adds r4, r4, r0\n ldr r0, [r6, #12]\n adds r5, r5, r0\n"
            "3: stmia r6!, {r2-r5}\n mov lr, r6\n ldr r0, [sp, #8]\n adds r1, r1, r0\n"
            "ldr r0, [sp, #4]\n cmp r6, r0\n bne 1b\n"
            "add sp, #16\n" LEAVE);
}

/* Outputs: the bias in r8, the offset in r10, the output in r11, `next` in r12,
   the end of the pixels in lr. */
KB_APART __attribute__((naked)) void finish(const piece *p)
{
    __asm__(ENTER
            "ldr r1, [r0, #12]\n adds r0, #28\n ldmia r0!, {r2-r6}\n mov r11, r4\n mov r12, r5\n"
            "muls r6, r5, r6\n adds r4, r4, r6\n mov lr, r4\n"
            "mov r0, r1\n mov r1, r2\n rsbs r6, r6, #0\n adds r6, #1\n push {r3, r6}\n"
            "1: ldmia r1!, {r2-r5}\n mov r8, r2\n mov r10, r4\n mov r6, r5\n"
            "sxth r4, r3\n mov r5, r3\n subs r5, r5, r4\n lsrs r5, r5, #16\n"
            "2: ldmia r0!, {r2}\n" DOUBLE "add r2, r8\n" OUTPUT("add r2, r10\n")
            "mov r7, r11\n strb r2, [r7]\n add r7, r12\n mov r11, r7\n cmp r7, lr\n blo 2b\n"
            "ldr r2, [sp, #4]\n add r11, r2\n ldr r2, [sp]\n cmp r1, r2\n bne 1b\n"
            "add sp, #8\n" LEAVE);
}
/* The words of three pixels, up to `end`, from the values `first` steps on. */
KB_APART __attribute__((naked)) void expand(const sources *s, int32_t *words, const int32_t *end, int32_t first)
{
    __asm__("push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n push {r4-r6}\n mov r12, r2\n mov lr, r3\n"
            "ldmia r0!, {r2-r7}\n mov r8, r5\n mov r9, r6\n mov r10, r7\n mov r0, lr\n"
            "muls r5, r0, r5\n muls r6, r0, r6\n muls r7, r0, r7\n mov r0, r1\n"
            "adds r1, r2, r5\n adds r2, r3, r6\n adds r3, r4, r7\n movs r4, #0\n"
            "1: ldrsb r5, [r1, r4]\n ldrsb r6, [r2, r4]\n ldrsb r7, [r3, r4]\n lsls r6, r6, #11\n adds r7, r7, r6\n"
            "lsls r6, r6, #10\n adds r5, r5, r6\n stmia r0!, {r5, r7}\n"
            "add r1, r8\n add r2, r9\n add r3, r10\n cmp r0, r12\n bne 1b\n"
            "pop {r4-r6}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n pop {r4-r7, pc}\n");
}
/* clang-format on */

#endif
