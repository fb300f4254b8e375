/* SPDX-License-Identifier: Apache-2.0 */
/* The channels of a pixel on cores with the DSP extension, four at a time: depthwise_conv2d_s8.h includes this. */
#ifndef KB_DEPTHWISE_CONV2D_S8_DSP_H
#define KB_DEPTHWISE_CONV2D_S8_DSP_H

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
#ifdef KB_TWICE
#define SCALE(sum) "add.w r10, r10, " sum ", asr #31\n smmlar " sum ", " sum ", r11, r10\n"
#else
#define SCALE(sum) "smmla " sum ", " sum ", r11, r10\n"
#endif
/* An output of a sum; r0 is at the channel's numbers, r1 twice the zero point and one, r2 the least output. */
#define FINISH(sum, place)                                                                                            \
    "ldm r0!, {r10, r11, r12}\n lsr.w r9, r12, #8\n lsl.w " sum ", " sum ", r9\n add.w " sum ", " sum ", r10\n"       \
    "sub.w r10, r12, #1\n lsl.w r10, r1, r10\n" SCALE(sum) "asr.w " sum ", " sum ", r12\n ssat " sum ", #8, " sum "\n" \
    "cmp.w " sum ", r2\n it lt\n movlt " sum ", r2\n strb.w " sum ", [lr, #" place "]\n"

/* `quads` times four channels from c on. Its own are, from the stack pointer on: the input's zero point, negative and
   twice; the quads that are left; c; the rows that are left. */
KB_APART __attribute__((naked)) void make_quads(const patch *t, int32_t c, int32_t quads)
{
    __asm__("push {r4-r11, lr}\n sub sp, #20\n mov r3, r0\n ldr r8, [r3, #36]\n"
            "rsb.w r8, r8, #0\n uxth r8, r8\n orr.w r8, r8, r8, lsl #16\n str.w r8, [sp]\n"
            "1: str r2, [sp, #4]\n str r1, [sp, #8]\n"
            "ldr.w r0, [r3]\n ldr.w r10, [r3, #4]\n ldr.w r2, [r3, #12]\n ldr.w r12, [r3, #8]\n ldr.w r8, [sp]\n"
            "ldr.w r9, [r3, #28]\n add.w r0, r0, r1\n add.w r1, r1, r10\n add.w r0, r0, r2\n add.w r1, r1, r2\n"
            "str.w r12, [sp, #12]\n movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n"
            "cmp.w r12, #0\n it ne\n cmpne r2, #0\n beq 4f\n"
            "2: rsb.w r2, r2, #0\n"
            ".balign 4\n"
            "3: ldr.w r10, [r0, r2]\n ldr.w r11, [r1, r2]\n"
            "sxtab16 r12, r8, r10\n sxtb16 lr, r11\n sxtab16 r10, r8, r10, ror #8\n sxtb16 r11, r11, ror #8\n"
            "smlabb r4, r12, lr, r4\n smlatt r6, r12, lr, r6\n smlabb r5, r10, r11, r5\n smlatt r7, r10, r11, r7\n"
            "adds.w r2, r2, r9\n bne.w 3b\n"
            "ldr.w r10, [r3, #16]\n ldr.w r11, [r3, #20]\n ldr.w r12, [sp, #12]\n ldr.w r2, [r3, #12]\n"
            "add.w r0, r0, r10\n add.w r1, r1, r11\n subs.w r12, r12, #1\n str.w r12, [sp, #12]\n bne.w 2b\n"
            "4: ldr r11, [sp, #8]\n ldr r0, [r3, #32]\n ldr r1, [r3, #40]\n ldr r2, [r3, #44]\n ldr.w lr, [r3, #24]\n"
            "add.w r10, r11, r11, lsl #1\n add.w r0, r0, r10, lsl #2\n add.w lr, lr, r11\n"
            "lsls r1, r1, #1\n adds r1, #1\n"
            FINISH("r4", "0") FINISH("r5", "1") FINISH("r6", "2") FINISH("r7", "3")
            "ldr r1, [sp, #8]\n ldr r2, [sp, #4]\n adds r1, #4\n subs r2, #1\n bne.w 1b\n"
            "add sp, #20\n pop {r4-r11, pc}\n");
}
/* clang-format on */

KB_INLINE void pixel(const patch *t)
{
    const int32_t channels = t->count;
    KB_STORED(t);
    if (channels < 4) {
        for (int32_t c = 0; c < channels; c++)
            block(t, c, 1);
        return;
    }
    make_quads(t, 0, channels / 4);
    if (channels % 4)
        make_quads(t, channels - 4, 1);
}

#endif
