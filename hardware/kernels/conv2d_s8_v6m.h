/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on Armv6-M: the innermost loop of conv2d_s8_portable.h, which includes this. */
#ifndef KB_CONV2D_S8_V6M_H
#define KB_CONV2D_S8_V6M_H

#include "kb_inline.h"

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
/* One tap: the pair in r3, the first pixel in r5, both destroyed. */
#define TAP                                                                                                           \
    "mov r6, r3\n muls r6, r5, r6\n add r8, r6\n sxtb r6, r3\n muls r5, r6, r5\n add r10, r5\n ldrsh r5, [r0, r1]\n"   \
    "muls r3, r5, r3\n add r9, r3\n muls r6, r5, r6\n add r11, r6\n adds r0, #2\n"
#define TWO_TAPS(offset)                                                                                              \
    "ldr r7, [r2, #" offset "]\n ldr r4, [r0]\n sxth r3, r7\n sxth r5, r4\n" TAP                                       \
    "asrs r3, r7, #16\n asrs r5, r4, #16\n" TAP

KB_APART __attribute__((naked)) void pair(const int16_t *x, int32_t distance, const int16_t *w, int32_t *sum,
                                          int32_t taps)
{
    __asm__("push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r3-r7}\n"
            "ldr r4, [sp, #40]\n lsls r4, r4, #2\n adds r4, r4, r2\n mov lr, r4\n"
            "movs r4, #0\n mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n"
            "1:\n" TWO_TAPS("0") TWO_TAPS("8") "adds r2, #16\n cmp r2, lr\n bne 1b\n"
            "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
            "subs r4, r4, r6\n asrs r4, r4, #8\n subs r5, r5, r7\n asrs r5, r5, #8\n"
            "pop {r3}\n str r6, [r3]\n str r7, [r3, #4]\n str r4, [r3, #8]\n str r5, [r3, #12]\n"
            "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n");
}
/* clang-format on */

#endif
