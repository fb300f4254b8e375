/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution whose weights of a channel stay in six registers, on cores with the DSP extension: blocks
   of two pairs of outputs. By whose kernels this is included; PITCH as depthwise_planes.h says. */
#ifndef KB_DEPTHWISE_COLUMNS_H
#define KB_DEPTHWISE_COLUMNS_H

#include "depthwise_planes.h"

/* What the loops over the outputs of four channels read; assembly has a copy of its own on the stack, from 28 on, in
   which what is of a channel moves on to the next one. */
typedef struct {
    int32_t below;  /* 28: from an output to the next one across */
    int32_t beside; /* 32: from the first output of a pair to the second */
    int32_t odd;    /* 36: whether a row of outputs is left by the blocks of two */
    int32_t span;   /* 40: from the first output of a column to where its blocks end */
    int32_t count;  /* 44: outputs along */
    int32_t onward; /* 48: from where the blocks of a column end in the plane to the next column */
    const uint32_t *weights; /* 52: [6][QUAD] */
    const int32_t *channel;  /* 56 */
    const uint32_t *plane;   /* 60 */
    int8_t *out;             /* 64 */
    int32_t zero;            /* 68: twice that of the output, and one */
    int32_t channels;        /* 72: that are left */
} walk;

/* clang-format off */
/* Two sums scaled and rounded by the multiplier in r10 and the offset in r11. */
#ifdef KB_TWICE
#define ONE_SCALED(sum)                                                                                               \
    "smmulr " sum ", " sum ", r10\n add.w " sum ", " sum ", " sum ", asr #31\n add.w " sum ", " sum ", r11\n"
#else
#define ONE_SCALED(sum) "smmla " sum ", " sum ", r10, r11\n"
#endif
#define SCALE(a, b) ONE_SCALED(a) ONE_SCALED(b)
#define CUT(a, b) "asr.w " a ", " a ", r10\n asr.w " b ", " b ", r10\n ssat " a ", #8, " a "\n ssat " b ", #8, " b "\n"
#define STORE(a, b) "strb.w " b ", [r2, r11]\n strb.w " a ", [r2]\n"

#define BIAS(sum) "ldr.w " sum ", [sp]\n"
/* The channels; the columns of two outputs; the blocks of two by two. Of the one output of a last column, the second is
   written to the same place before. On the stack: bias, multiplier, offset, shift; from an output to the second one; where
   the blocks of the column end; the outputs along that are left. */
#define COLUMNS(REPACK, SUMS, PAIR)                                                                                   \
    __asm__("push {r4-r11, lr}\n ldm.w r0, {r1-r12}\n push.w {r1-r12}\n sub sp, #28\n"                                \
            "1: ldr r0, [sp, #52]\n ldr r1, [sp, #56]\n ldr r3, [sp, #68]\n"                                          \
            "ldr r4, [r0]\n ldr r5, [r0, #16]\n ldr r6, [r0, #32]\n ldr r7, [r0, #48]\n ldr.w r8, [r0, #64]\n"        \
            "ldr.w r9, [r0, #80]\n ldm r1!, {r10-r12}\n adds r0, #4\n str r0, [sp, #52]\n str r1, [sp, #56]\n" REPACK \
            "uxtb.w lr, r12\n sub.w r12, lr, #1\n lsl.w r12, r3, r12\n stm.w sp, {r10-r12, lr}\n"                     \
            "ldr r0, [sp, #60]\n ldr r2, [sp, #64]\n ldr r3, [sp, #40]\n ldr.w r12, [sp, #32]\n ldr.w lr, [sp, #44]\n" \
            "add.w r1, r0, #4\n add.w r10, r2, #1\n str r1, [sp, #60]\n str.w r10, [sp, #64]\n add r3, r2\n"          \
            "2: cmp.w lr, #1\n it eq\n moveq r12, #0\n"                                                               \
            "str r3, [sp, #20]\n str.w r12, [sp, #16]\n str.w lr, [sp, #24]\n cmp r2, r3\n beq.w 4f\n"                \
            ".balign 4\n"                                                                                             \
            "3: " SUMS "ldr.w r10, [sp, #4]\n ldr.w r11, [sp, #8]\n" SCALE("r1", "r3") SCALE("r12", "lr")             \
            "ldr.w r10, [sp, #12]\n ldr.w r11, [sp, #16]\n" CUT("r1", "r3") CUT("r12", "lr")                          \
            "ldr.w r10, [sp, #28]\n" STORE("r1", "r3") "add.w r2, r2, r10\n ldr.w r3, [sp, #20]\n"                    \
            STORE("r12", "lr") "add.w r2, r2, r10\n cmp.w r2, r3\n bne.w 3b\n"                                        \
            "4: ldr r1, [sp, #36]\n cmp r1, #0\n beq.w 5f\n"                                                          \
            ".balign 4\n" PAIR                                                                                        \
            "ldr.w r10, [sp, #4]\n ldr.w r11, [sp, #8]\n" SCALE("r1", "r3")                                           \
            "ldr.w r10, [sp, #12]\n ldr.w r11, [sp, #16]\n" CUT("r1", "r3") STORE("r1", "r3")                         \
            "5: ldr.w lr, [sp, #24]\n ldr.w r12, [sp, #32]\n ldr r1, [sp, #48]\n ldr r3, [sp, #20]\n ldr r2, [sp, #40]\n" \
            "add r0, r1\n add.w r3, r3, r12, lsl #1\n sub.w r2, r3, r2\n subs.w lr, lr, #2\n bgt.w 2b\n"              \
            "ldr r1, [sp, #72]\n subs r1, #1\n str r1, [sp, #72]\n bne.w 1b\n"                                        \
            "add sp, #76\n pop {r4-r11, pc}\n")

/* clang-format on */

#endif
