/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of which every pixel is made of one, by whose kernels it is included: with KB_TWICE before, results
   are rounded twice. The weights are those of conv2d_s8.h, which makes what is left. On cores with the DSP extension
   the words of two neighbouring pixels take turns in scratch, so that four loads in a row feed sixteen products; four
   channels of all pixels in scratch are made before the next ones. */
#ifndef KB_POINTWISE_CONV2D_S8_H
#define KB_POINTWISE_CONV2D_S8_H

#include "kb_inline.h"

#ifdef KB_TWICE
#define REST kb_tflite_conv2d_s8
#else
#define REST kb_conv2d_s8
#endif

#ifdef __ARM_FEATURE_DSP
#include "kb_clamp.h"
#include "kb_quad.h"

/* clang-format off */
/* Two taps of two pixels with both pairs of channels: 56 bytes. Sums begin with those named: of the first step with
   the bias, which is in r4 and r8. */
#define STEP(s0, s1, b1, s2, s3, b3)                                                                                  \
    "ldr.w r12, [r0], #8\n ldr lr, [r0, #-4]\n ldr.w r1, [r2], #8\n ldr r3, [r2, #-4]\n"                              \
    "smlad r6, r1, r12, " s0 "\n smlad r7, r1, lr, " s1 "\n smlad r10, r3, r12, " s2 "\n smlad r11, r3, lr, " s3 "\n" \
    "sxtb16 r1, r1\n sxtb16 r3, r3\n"                                                                                 \
    "smlad r5, r1, lr, " b1 "\n smlad r4, r1, r12, r4\n smlad r9, r3, lr, " b3 "\n smlad r8, r3, r12, r8\n"
#define FIRST_STEP STEP("r4", "r4", "r4", "r8", "r8", "r8")
#define NEXT_STEP STEP("r6", "r7", "r5", "r10", "r11", "r9")
#define FOUR_STEPS NEXT_STEP NEXT_STEP NEXT_STEP NEXT_STEP

/* Where there is an FPU, its registers hold what the loop over pixels needs: the numbers of the four channels, where steps
   are entered, and where the weights end; what is lost of s16 and s17 waits in two words at the stack pointer. Else these
   are the entry and the end, and the numbers are where r12 is at. */
#ifdef __ARM_FP
#define SAVE "vstm sp, {s16, s17}\n"
#define RESTORE "vldm sp, {s16, s17}\n"
#define HOLD "vldm r12, {s0-s15}\n"
#define HELD(register, i) "vmov " register ", s" #i "\n"
#define POINT_AT_NUMBERS
#define SET_ENTRY(from) "vmov s16, " from "\n"
#define SET_END(from) "vmov s17, " from "\n"
#define ENTRY(to) "vmov " to ", s16\n"
#define END(to) "vmov " to ", s17\n"
#else
#define SAVE
#define RESTORE
#define HOLD
#define HELD LOADED
#define POINT_AT_NUMBERS "ldr.w r12, [sp, #68]\n"
#define SET_ENTRY(from) "str.w " from ", [sp]\n"
#define SET_END(from) "str.w " from ", [sp, #4]\n"
#define ENTRY(to) "ldr.w " to ", [sp]\n"
#define END(to) "ldr.w " to ", [sp, #4]\n"
#endif

/* All channels of all pixels from x to the end, two pixels at a time, four channels of all of them before the next four;
   `next` is from an output to that of the next pixel. The loop of eight steps, which with all else fits an instruction cache of 1 KiB, is entered where what is left over of them
   begins. From the stack pointer on there are two words as above, the output, where those of the first pixel end; from 16
   on x, the output of the first pixel, next, x_end; from 68 on channel, w, taps. */
KB_APART __attribute__((naked)) void quads(const int16_t *x, int8_t *out, int32_t next, const int16_t *x_end,
                                           const int32_t *channel, const int16_t *w, int32_t taps)
{
    __asm__("push {r0-r11, lr}\n sub sp, #16\n" SAVE "ldr r3, [sp, #76]\n adds r2, r1, r2\n str r2, [sp, #12]\n"
            "lsrs r3, r3, #1\n rsb r3, r3, #1\n and r3, r3, #7\n rsb r3, r3, r3, lsl #3\n"
            "adr r12, 2f\n add.w r12, r12, r3, lsl #3\n orr r12, r12, #1\n" SET_ENTRY("r12") "ldr.w r12, [sp, #68]\n"
            ".balign 4\n"
            "0: " HOLD "ldr.w r0, [sp, #16]\n ldr.w r1, [sp, #20]\n ldr.w r2, [sp, #72]\n ldr.w r3, [sp, #76]\n"
            "str.w r1, [sp, #8]\n add.w r3, r2, r3, lsl #2\n" SET_END("r3")
            "1: " BEGIN(HELD, "r4", "r8") "ldr.w r2, [sp, #72]\n" FIRST_STEP ENTRY("r1") "bx r1\n"
            ".balign 4\n"
            "2:\n" FOUR_STEPS FOUR_STEPS END("r3") "cmp.w r2, r3\n bne.w 2b\n"
            POINT_AT_NUMBERS "sub.w r6, r6, r4\n sub.w r7, r7, r5\n sub.w r10, r10, r8\n sub.w r11, r11, r9\n"
            TWO_PIXELS(HELD, BY_ROUNDING(", asr #8", ", asr #7"))
            "ldr.w r1, [sp, #8]\n ldr.w r2, [sp, #24]\n ldr.w r3, [sp, #28]\n"
            "str.w r5, [r1, r2]\n str.w r4, [r1]\n add.w r1, r1, r2, lsl #1\n str.w r1, [sp, #8]\n"
            "cmp.w r0, r3\n bne.w 1b\n"
            "ldr r1, [sp, #20]\n ldr r2, [sp, #12]\n ldr.w r12, [sp, #68]\n" END("r3") "add.w r12, r12, #64\n adds r1, #4\n"
            "str r1, [sp, #20]\n str r3, [sp, #72]\n str.w r12, [sp, #68]\n cmp r1, r2\n bne.w 0b\n"
            RESTORE "add sp, #32\n pop {r4-r11, pc}\n");
}

/* Pairs of pixels, whose `channels` are a multiple of four, to 16 bits: a word of one, a word of the other. */
KB_APART __attribute__((naked)) void spread(uint32_t *to, const int8_t *from, int32_t channels, int32_t pairs)
{
#define FOUR                                                                                                          \
    "ldr.w r5, [r1, r2]\n ldr.w r4, [r1], #4\n sxtb16 r6, r5\n sxtb16 r5, r5, ror #8\n sxtb16 r7, r4\n"               \
    "sxtb16 r4, r4, ror #8\n pkhtb r8, r5, r6, asr #16\n pkhbt r5, r6, r5, lsl #16\n pkhtb r6, r4, r7, asr #16\n"     \
    "pkhbt r4, r7, r4, lsl #16\n str.w r8, [r0, #12]\n str.w r6, [r0, #8]\n str.w r5, [r0, #4]\n str.w r4, [r0], #16\n"
    __asm__("push {r4-r8, lr}\n"
            ".balign 4\n"
            "1: add.w r12, r2, #4\n lsrs.w r12, r12, #3\n bcc.w 3f\n"
            "2: " FOUR "3: subs.w r12, r12, #1\n" FOUR "bne.w 2b\n"
            "add.w r1, r1, r2\n subs.w r3, r3, #1\n bne.w 1b\n pop {r4-r8, pc}\n");
#undef FOUR
}
/* clang-format on */

/* `count` pixels, of which all pairs are made. */
KB_APART void row(const int8_t *in, int8_t *out, int16_t *scratch, const kb_conv2d_s8_params *p, int32_t count)
{
    const int32_t channels = p->taps, made = p->window.out.channels;
    for (; count > 1; count -= p->block, in += p->block * channels, out += p->block * made) {
        const int32_t pixels = kb_min(count, p->block) & ~1;
        spread((uint32_t *)scratch, in, channels, pixels / 2);
        KB_STORED(scratch);
        quads(scratch, out, made, scratch + pixels * channels, p->channel, p->weight, channels);
        if (p->low > -128)
            kb_clamp(out, pixels * made, p->low);
    }
}

KB_INLINE void convolve(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, const kb_region *r)
{
    const kb_shape map = p->window.in;
    const int32_t made = p->window.out.channels;
    int32_t count = r->x_end - r->x, rows = r->y_end - r->y;
    if (count == map.width)
        count *= rows, rows = 1;
    for (int32_t y = r->y; y < r->y + rows; y++) {
        const int32_t first = y * map.width + r->x;
        row(in + first * map.channels, out + first * made, scratch, p, count);
        if (count % 2) {
            const int32_t last = first + count - 1, last_y = last / map.width, last_x = last - last_y * map.width;
            const kb_region one = {last_y, last_y + 1, last_x, last_x + 1};
            REST(in, out, scratch, p, &one);
        }
    }
}
#else
#define convolve REST
#endif

#endif
