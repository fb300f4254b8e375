/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on cores with the DSP extension, whose SMLAD adds the products of two taps: the inner loops of
   conv2d_s8.h, which includes this. After each chunk of taps sums are added up on the stack; the first chunk is what is
   left over, and loops are entered where what is left over of their steps begins. */
#ifndef KB_CONV2D_S8_DSP_H
#define KB_CONV2D_S8_DSP_H

#include "kb_inline.h"
#include "kb_quad.h"

#if KB_CONV2D_S8_CHUNK != 512
#error "quad and one_pixel cut sums after 512 taps"
#endif

/* clang-format off */
/* Two taps of two pixels with both pairs of channels: 56 bytes. Sums begin with those named: of the first step with
   the bias, which is in r4 and r8. */
#define STEP(s0, s1, b1, s2, s3, b3)                                                                                  \
    "ldr r12, [r0], #4\n ldr lr, [r1], #4\n ldr r3, [r2], #4\n"                                                       \
    "smlad r6, r3, r12, " s0 "\n smlad r7, r3, lr, " s1 "\n sxtb16 r3, r3\n"                                          \
    "smlad r5, r3, lr, " b1 "\n smlad r4, r3, r12, r4\n ldr r3, [r2], #4\n"                                           \
    "smlad r10, r3, r12, " s2 "\n smlad r11, r3, lr, " s3 "\n sxtb16 r3, r3\n"                                        \
    "smlad r9, r3, lr, " b3 "\n smlad r8, r3, r12, r8\n"
#define FIRST_STEP STEP("r4", "r4", "r4", "r8", "r8", "r8")
#define NEXT_STEP STEP("r6", "r7", "r5", "r10", "r11", "r9")
#define FOUR_STEPS NEXT_STEP NEXT_STEP NEXT_STEP NEXT_STEP

/* Four channels, whose numbers and weights are given, of all pixels from x to the end, two at a time, which are `step`
   bytes apart; `next` is from an output to that of the next pixel. From the stack pointer on there are: eight totals; at
   32 where this chunk, 36 where the first one, 40 where a chunk that is all ends; at 44 the entry; from 48 on x, out,
   next, x_end; from 100 on channel, w, where the weights end, step. */
KB_APART __attribute__((naked)) void quad(const int16_t *x, int8_t *out, int32_t next, const int16_t *x_end,
                                          const int32_t *channel, const int16_t *w, int32_t taps, int32_t step)
{
    __asm__("push {r0-r11, lr}\n sub sp, #48\n ldrd r2, r3, [sp, #104]\n add.w r0, r2, r3, lsl #2\n str r0, [sp, #108]\n"
            "subs r3, #1\n ubfx r3, r3, #0, #9\n adds r3, #1\n add.w r2, r2, r3, lsl #2\n strd r2, r2, [sp, #32]\n"
            "cmp r0, r2\n it ne\n movne r2, r1\n str r2, [sp, #40]\n" /* or an address that is no end */
            "lsrs r3, r3, #1\n rsb r3, r3, #1\n and r3, r3, #7\n rsb r3, r3, r3, lsl #3\n"
            "adr r12, 2f\n add.w r12, r12, r3, lsl #3\n orr r12, r12, #1\n str r12, [sp, #44]\n ldr.w r12, [sp, #100]\n"
            ".balign 4\n"
            "1: ldr.w r0, [sp, #48]\n ldr.w r1, [sp, #112]\n ldr.w r2, [sp, #104]\n" BEGIN(LOADED, "r4", "r8")
            "add.w r1, r1, r0\n" FIRST_STEP "ldr.w r3, [sp, #44]\n bx r3\n"
            ".balign 4\n"
            "2:\n" FOUR_STEPS FOUR_STEPS
            "ldr.w r3, [sp, #32]\n cmp.w r2, r3\n bne.w 2b\n"
            "ldr.w r3, [sp, #40]\n ldr.w r12, [sp, #100]\n"
            "sub.w r6, r6, r4\n sub.w r7, r7, r5\n sub.w r10, r10, r8\n sub.w r11, r11, r9\n"
            "asr.w r6, r6, #8\n asr.w r7, r7, #8\n asr.w r10, r10, #8\n asr.w r11, r11, #8\n"
            "cmp.w r2, r3\n bne.w 4f\n"
            "3:\n" TWO_PIXELS(LOADED, BY_ROUNDING("", ", lsl #1"))
            "ldr.w r1, [sp, #52]\n ldr.w r2, [sp, #56]\n ldr.w r0, [sp, #48]\n ldr.w r3, [sp, #112]\n ldr.w lr, [sp, #60]\n"
            "str.w r5, [r1, r2]\n str.w r4, [r1]\n add.w r1, r1, r2, lsl #1\n add.w r0, r0, r3, lsl #1\n"
            "str.w r1, [sp, #52]\n str.w r0, [sp, #48]\n cmp.w r0, lr\n bne.w 1b\n add sp, #64\n pop {r4-r11, pc}\n"
            "4: ldr r3, [sp, #36]\n cmp r2, r3\n beq 5f\n"
            "ldrd r3, lr, [sp]\n add r4, r3\n add r5, lr\n ldrd r3, lr, [sp, #8]\n add r6, r3\n add r7, lr\n"
            "ldrd r3, lr, [sp, #16]\n add r8, r3\n add r9, lr\n ldrd r3, lr, [sp, #24]\n add r10, r3\n add r11, lr\n"
            "ldr r3, [sp, #108]\n cmp r2, r3\n beq 6f\n"
            "5: mov r3, sp\n stm r3, {r4-r11}\n ldr r3, [sp, #32]\n add r3, r3, #2048\n str r3, [sp, #32]\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n"
            "mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n b.w 2b\n"
            "6: ldr r3, [sp, #36]\n str r3, [sp, #32]\n b.w 3b\n");
}

/* Four taps of one pixel with both pairs: 72 bytes. */
#define FOUR_TAPS                                                                                                     \
    "ldr.w r8, [r1], #16\n ldr.w r12, [r0], #8\n ldr r9, [r1, #-12]\n ldr r10, [r1, #-8]\n"                           \
    "ldr r11, [r1, #-4]\n ldr lr, [r0, #-4]\n"                                                                        \
    "smlad r6, r8, r12, r6\n smlad r7, r9, r12, r7\n sxtb16 r8, r8\n sxtb16 r9, r9\n"                                 \
    "smlad r4, r8, r12, r4\n smlad r5, r9, r12, r5\n"                                                                 \
    "smlad r6, r10, lr, r6\n smlad r7, r11, lr, r7\n sxtb16 r10, r10\n sxtb16 r11, r11\n"                             \
    "smlad r4, r10, lr, r4\n smlad r5, r11, lr, r5\n"

/* `quads` times four channels of one pixel. From the stack pointer on there are: four totals; at 16 the bytes of the
   first chunk's weights, 20 the entry, 24 whether there are more chunks; from 28 on x, out, channel; from 80 on the bytes of
   all weights of a quad, quads. */
KB_APART __attribute__((naked)) void one_pixel(const int16_t *x, int8_t *out, const int32_t *channel, const int16_t *w,
                                               int32_t taps, int32_t quads)
{
    __asm__("push {r0-r11, lr}\n sub sp, #28\n mov r1, r3\n ldr r2, [sp, #80]\n"
            "subs r3, r2, #1\n lsrs r0, r3, #9\n str r0, [sp, #24]\n lsls r2, r2, #2\n str r2, [sp, #80]\n"
            "ubfx r3, r3, #0, #9\n adds r3, #1\n lsls r2, r3, #2\n str r2, [sp, #16]\n"
            "lsrs r3, r3, #2\n rsbs r3, r3, #0\n and r3, r3, #3\n add.w r3, r3, r3, lsl #3\n"
            "adr r12, 2f\n add.w r12, r12, r3, lsl #3\n orr r12, r12, #1\n str r12, [sp, #20]\n ldr.w r12, [sp, #36]\n"
            ".balign 4\n"
            "1: ldr.w r0, [sp, #28]\n ldr.w r3, [sp, #16]\n ldr.w r2, [sp, #80]\n ldr.w lr, [sp, #20]\n"
            BEGIN(LOADED, "r4", "r5") "add.w r3, r3, r1\n add.w r2, r2, r1\n mov.w r6, r4\n mov.w r7, r5\n bx lr\n"
            ".balign 4\n"
            "2:\n" FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS "cmp.w r1, r3\n bne.w 2b\n"
            "ldr.w r8, [sp, #24]\n ldr.w r12, [sp, #36]\n sub.w r6, r6, r4\n sub.w r7, r7, r5\n"
            "asr.w r6, r6, #8\n asr.w r7, r7, #8\n cmp.w r8, #0\n bne.w 4f\n"
            "3: mov.w r0, r1\n" ONE_PIXEL(LOADED, BY_ROUNDING("", ", lsl #1"))
            "ldr.w r3, [sp, #32]\n ldr.w r8, [sp, #84]\n add.w r12, r12, #64\n mov.w r1, r0\n str.w r12, [sp, #36]\n"
            "str.w r4, [r3], #4\n str.w r3, [sp, #32]\n subs.w r8, r8, #1\n str.w r8, [sp, #84]\n bne.w 1b\n"
            "add sp, #44\n pop {r4-r11, pc}\n"
            "4: ldr r8, [sp, #80]\n ldr r9, [sp, #16]\n sub r8, r2, r8\n add r8, r9\n cmp r1, r8\n beq 5f\n"
            "ldrd r8, r9, [sp]\n add r4, r8\n add r5, r9\n ldrd r8, r9, [sp, #8]\n add r6, r8\n add r7, r9\n"
            "cmp r1, r2\n beq 3b\n"
            "5: strd r4, r5, [sp]\n strd r6, r7, [sp, #8]\n add r3, r3, #2048\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n b 2b\n");
}
/* A multiple of four words; returns where they are. */
KB_APART __attribute__((naked)) const int16_t *copy(int16_t *to, const int16_t *from, int32_t words)
{
    __asm__("push {r0, r4-r10, lr}\n lsls r3, r2, #29\n bpl 1f\n ldm.w r1!, {r3-r6}\n stm.w r0!, {r3-r6}\n"
            "1: subs r2, #8\n bmi 2f\n"
            "ldm.w r1!, {r3-r10}\n stm.w r0!, {r3-r10}\n b 1b\n"
            "2: pop {r0, r4-r10, pc}\n");
}
/* clang-format on */

/* All outputs of `count` pixels, the columns of which begin at x, `step` halves apart; `next` is from an output to that
   of the next pixel. Many weights that many pixels read are copied to before the columns, as boards wait for their
   flash whenever a small cache has not kept what is read from there. */
KB_APART void make(const int16_t *x, int32_t step, int32_t count, int8_t *out, int32_t next,
                   const kb_conv2d_s8_params *p)
{
    const int32_t made = p->window.out.channels, last = kb_max(made - 4, 0), single = count % 2;
    const int16_t *w = p->weight, *const x_end = x + (count - single) * step;
    KB_STORED(x);
    if (single) {
        const int32_t quads = made / 4;
        int8_t *const to = out + (count - 1) * next;
        if (quads)
            one_pixel(x_end, to, p->channel, w, p->taps, quads);
        if (made % 4)
            one_pixel(x_end, to + last, p->channel + 4 * last, w + 2 * p->taps * quads, p->taps, 1);
    }
    int16_t *const room = (int16_t *)((int32_t *)x - p->sums);
    const int is_copied = count >= KB_CONV2D_S8_COPIED && p->taps > KB_CONV2D_S8_CACHED && made >= 4;
    for (int32_t o = 0; x != x_end && o < made; o += 4, w += 2 * p->taps) {
        const int32_t first = kb_min(o, last);
        const int16_t *const weight = is_copied ? copy(room, w, p->taps) : w;
        KB_STORED(room);
        quad(x, out + first, next, x_end, p->channel + 4 * first, weight, p->taps, 2 * step);
    }
}

#endif
