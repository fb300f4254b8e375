/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution whose weights of a channel stay in six registers, on cores with the DSP extension: blocks
   of two pairs of outputs. By whose kernels this is included; PITCH as depthwise_planes.h says. */
#ifndef KB_DEPTHWISE_COLUMNS_H
#define KB_DEPTHWISE_COLUMNS_H

#include "depthwise_planes.h"

/* What the loops over the outputs of four channels read; assembly has a copy of its own on the stack, from 36 on, in
   which what is of a channel moves on to the next one. */
typedef struct {
    int32_t below;  /* 36: from an output to the next one across */
    int32_t beside; /* 40: from the first output of a pair to the second */
    int32_t odd;    /* 44: rows of outputs that are left by the blocks of two: one or none */
    int32_t span;   /* 48: from the first output of a column to where its blocks end */
    int32_t count;  /* 52: outputs along */
    int32_t onward; /* 56: from where a column ends in the plane to the next one */
    const void *weights;    /* 60: of a channel; their type is the kernel's */
    const int32_t *channel; /* 64 */
    const uint32_t *plane;  /* 68 */
    int8_t *out;            /* 72 */
    int32_t zero;           /* 76: twice that of the output, and one */
    int32_t channels;       /* 80: that are left */
    int32_t step, line;     /* 84: bytes from a weight to the next one along, and across */
    int32_t rows;           /* 92: of outputs */
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
/* Two of them shifted by the channel's shift, which is in r10. */
#define CUT(a, b) "asr.w " a ", " a ", r10\n asr.w " b ", " b ", r10\n ssat " a ", #8, " a "\n ssat " b ", #8, " b "\n"
#define STORE(a, b) "strb.w " b ", [r2, r11]\n strb.w " a ", [r2]\n"

#define BIAS(sum) "ldr.w " sum ", [sp]\n"
/* For COLUMNS: outputs of the four sums of a block by a channel's own shift. */
#define ANY_SHIFT "ldr.w r10, [sp, #12]\n" CUT("r1", "r3") CUT("r12", "lr")
/* The channels; the columns of two outputs; the blocks of two by two, and the pairs that are left. Of the one output of
   a last column, the second is written to the same place before. On the stack: bias, multiplier, offset, shift; from an
   output to the second one; where the blocks of the column end; the outputs along that are left; the channel's span and
   pairs of a column.
   WEIGHTS makes the channel's weights in r4 to r9 of what is at r3, and moves on, with r10 to r12 untouched; CHOOSE may
   change the span in r3 and the pairs in r11 by the shift in lr; SUMS and PAIR leave r0 at the next block or pair. */
#define COLUMNS(WEIGHTS, CHOOSE, SUMS, BLOCK_CUT, PAIR)                                                               \
    __asm__("push {r4-r11, lr}\n ldrd r1, r2, [r0, #48]\n ldr r3, [r0, #56]\n push {r1-r3}\n"                         \
            "ldm.w r0, {r1-r12}\n push.w {r1-r12}\n sub sp, #36\n"                                                    \
            ".balign 4\n"                                                                                             \
            "1: ldr.w r3, [sp, #60]\n ldr.w r1, [sp, #64]\n ldm.w r1!, {r10-r12}\n str.w r1, [sp, #64]\n" WEIGHTS     \
            "ldr.w r3, [sp, #76]\n uxtb.w lr, r12\n sub.w r12, lr, #1\n lsl.w r12, r3, r12\n stm.w sp, {r10-r12, lr}\n" \
            "ldr.w r0, [sp, #68]\n ldr.w r2, [sp, #72]\n ldr.w r3, [sp, #48]\n ldr.w r11, [sp, #44]\n"                \
            "ldr.w r12, [sp, #40]\n" CHOOSE "ldr.w lr, [sp, #52]\n add.w r1, r0, #4\n add.w r10, r2, #1\n"            \
            "str.w r3, [sp, #28]\n str.w r11, [sp, #32]\n str.w r1, [sp, #68]\n str.w r10, [sp, #72]\n add.w r3, r3, r2\n" \
            "2: cmp.w lr, #1\n it eq\n moveq r12, #0\n"                                                               \
            "str r3, [sp, #20]\n str.w r12, [sp, #16]\n str.w lr, [sp, #24]\n cmp r2, r3\n beq.w 4f\n"                \
            ".balign 4\n"                                                                                             \
            "3: " SUMS "ldr.w r10, [sp, #4]\n ldr.w r11, [sp, #8]\n" SCALE("r1", "r3") SCALE("r12", "lr") BLOCK_CUT   \
            "ldr.w r10, [sp, #36]\n ldr.w r11, [sp, #16]\n" STORE("r1", "r3") "add.w r2, r2, r10\n"                   \
            "ldr.w r3, [sp, #20]\n" STORE("r12", "lr") "add.w r2, r2, r10\n cmp.w r2, r3\n bne.w 3b\n"                \
            "4: ldr.w lr, [sp, #32]\n cmp.w lr, #0\n beq.w 6f\n"                                                      \
            ".balign 4\n"                                                                                             \
            "5: " PAIR "ldr.w r10, [sp, #4]\n ldr.w r11, [sp, #8]\n" SCALE("r1", "r3")                                \
            "ldr.w r10, [sp, #12]\n ldr.w r11, [sp, #16]\n ldr.w r12, [sp, #36]\n" CUT("r1", "r3") STORE("r1", "r3")  \
            "add.w r2, r2, r12\n subs.w lr, lr, #1\n bne.w 5b\n"                                                      \
            "6: ldr.w lr, [sp, #24]\n ldr.w r12, [sp, #40]\n ldr r1, [sp, #56]\n ldr r3, [sp, #20]\n ldr r2, [sp, #28]\n" \
            "add r0, r1\n add.w r3, r3, r12, lsl #1\n sub.w r2, r3, r2\n subs.w lr, lr, #2\n bgt.w 2b\n"              \
            "ldr r1, [sp, #80]\n subs r1, #1\n str r1, [sp, #80]\n bne.w 1b\n"                                        \
            "add sp, #96\n pop {r4-r11, pc}\n")

/* clang-format on */

#endif
