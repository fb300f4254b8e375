/* SPDX-License-Identifier: Apache-2.0 */
/* The channels of a pixel on cores with the DSP extension, four at a time: depthwise_conv2d_s8.h includes this. */
#ifndef KB_DEPTHWISE_CONV2D_S8_DSP_H
#define KB_DEPTHWISE_CONV2D_S8_DSP_H

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
/* One tap of four channels, of TAP_BYTES. */
#define TAP                                                                                                           \
    "ldr.w r10, [r0, r2]\n ldr.w r11, [r1, r2]\n"                                                                     \
    "sxtab16 r12, r8, r10\n sxtb16 lr, r11\n sxtab16 r10, r8, r10, ror #8\n sxtb16 r11, r11, ror #8\n"                \
    "smlabb r4, r12, lr, r4\n smlatt r6, r12, lr, r6\n smlabb r5, r10, r11, r5\n smlatt r7, r10, r11, r7\n"           \
    "adds.w r2, r2, r9\n"
#define TAP_BYTES 44
#ifdef KB_TWICE
#define SCALE(sum) "smmulr r3, " sum ", r11\n add.w " sum ", r3, " sum ", asr #31\n"
#else
#define SCALE(sum) "smmul " sum ", " sum ", r11\n"
#endif
/* An output of a sum; r0 is at the channel's numbers, r1 the zero point. The last bit that is shifted out rounds. */
#define FINISH(sum)                                                                                                   \
    "ldm.w r0!, {r10, r11, r12}\n lsr.w r3, r12, #8\n lsl.w " sum ", " sum ", r3\n add.w " sum ", " sum ", r10\n"     \
    SCALE(sum) "asrs.w " sum ", " sum ", r12\n adc.w " sum ", " sum ", r1\n ssat " sum ", #8, " sum "\n"

/* Quads of channels from c up to `end`; both are on the stack from 44 on. x and w are where a row of taps ends, `entry` is
   an address; r3 counts rows. */
KB_APART __attribute__((naked)) void make_quads(const patch *t, int32_t c, int32_t end)
{
    __asm__("push {r4-r11, lr}\n push {r1, r2}\n ldm.w r0!, {r8, r9}\n ldm.w r0, {r1-r7, r10-r12, lr}\n"
            "adr.w r0, 2f\n add r5, r0\n adds r5, #1\n subs r1, r1, r3\n subs r2, r2, r3\n"
            "ldr r0, [sp]\n add.w r0, r0, r0, lsl #1\n add.w r10, r10, r0, lsl #2\n push.w {r1-r7, r10-r12, lr}\n"
            ".balign 4\n"
            "1: ldm.w sp, {r0-r3, r12}\n ldr.w lr, [sp, #44]\n movs.w r4, #0\n movs.w r5, #0\n movs.w r6, #0\n movs.w r7, #0\n"
            "add.w r0, r0, lr\n add.w r1, r1, lr\n bx r12\n"
            ".balign 4\n"
            "2: " TAP TAP TAP TAP "bne.w 2b\n"
            "ldr.w r10, [sp, #20]\n ldr.w r11, [sp, #24]\n ldr.w r2, [sp, #8]\n ldr.w r12, [sp, #16]\n"
            "add.w r0, r0, r10\n add.w r1, r1, r11\n subs.w r3, r3, #1\n it ne\n bxne r12\n"
            "ldr.w lr, [sp, #44]\n ldr.w r0, [sp, #28]\n ldr.w r1, [sp, #36]\n ldr.w r2, [sp, #40]\n"
            FINISH("r4") FINISH("r5") FINISH("r6") FINISH("r7")
            "ldr.w r3, [sp, #32]\n ldr.w r10, [sp, #48]\n"
            "bfi r4, r5, #8, #8\n bfi r4, r6, #16, #8\n bfi r4, r7, #24, #8\n ssub8 r5, r4, r2\n sel r4, r4, r2\n"
            "str.w r4, [r3, lr]\n add.w lr, lr, #4\n str.w r0, [sp, #28]\n str.w lr, [sp, #44]\n"
            "cmp.w lr, r10\n bne.w 1b\n"
            "add sp, #52\n pop {r4-r11, pc}\n");
}
/* clang-format on */

KB_INLINE void pixel(patch *t)
{
    const int32_t channels = t->count;
    if (channels < 4) {
        for (int32_t c = 0; c < channels; c++)
            block(t, c, 1);
        return;
    }
    t->row = -t->taps * t->w_step;
    t->entry = (-t->taps & 3) * TAP_BYTES;
    KB_STORED(t);
    make_quads(t, 0, channels & -4);
    if (channels % 4)
        make_quads(t, channels - 4, channels);
}

#endif
