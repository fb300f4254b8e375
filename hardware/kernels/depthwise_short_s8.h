/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of three taps along one axis with a stride of 1, and one along the other, on
   cores with the DSP extension, by whose kernels it is included: one channel of a row, or column, at a time, from where
   it lies. Its weights stay in two registers and a word holds two neighbours, of which each is loaded once; the bias
   holds what the input's zero point takes, and padding is that zero point. An output is written when all input up to
   its place has been read: it may lie where the input lay. */
#ifndef KB_DEPTHWISE_SHORT_S8_H
#define KB_DEPTHWISE_SHORT_S8_H

#include "kb_clamp.h"
#include "kb_depthwise.h"

/* A row or column of channels, of which there are `left` more: assembly moves what is of a channel on to the next. */
typedef struct {
    const int8_t *in;
    int32_t step;           /* 4: from a pixel to the next one, of the input and the output */
    int8_t *out;            /* 8 */
    const int8_t *weight;   /* 12 */
    const int32_t *channel; /* 16 */
    int32_t channels;       /* 20: from a tap's weights to the next one's */
    int32_t zero;           /* 24: that of the input */
    int32_t round;          /* 28: twice that of the output, and one */
    int32_t first, second;  /* 32: where the first two taps of the first output lie, or -1 for padding */
    int32_t third, span;    /* 40: where its third one does, and how far those of pairs of outputs reach */
    int32_t single;         /* 48: outputs after the pairs */
    int32_t odd;            /* 52: whether the third tap of the first of them lies in the map */
    int32_t left;           /* 56 */
} strip;

/* clang-format off */
#ifdef KB_TWICE
#define TO_SCALE(sum)                                                                                                 \
    "smmulr " sum ", " sum ", r6\n add.w " sum ", " sum ", " sum ", asr #31\n add.w " sum ", " sum ", r7\n"
#else
#define TO_SCALE(sum) "smmla " sum ", " sum ", r6, r7\n"
#endif
/* A pair of outputs in r12 and lr, of the word before and the next one. */
#define NEXT_PAIR(before, next)                                                                                       \
    "ldrsb.w r12, [r0]\n ldrsb.w " next ", [r0, r1]\n add.w r0, r0, r1, lsl #1\n"                                     \
    "pkhbt " next ", r12, " next ", lsl #16\n"                                                                        \
    "smlad r12, " before ", r3, r5\n smlatb lr, " before ", r3, r5\n"                                                 \
    "smlabt r12, " next ", r4, r12\n smlad lr, " next ", r4, lr\n" TO_SCALE("r12") TO_SCALE("lr")                     \
    "asr.w r12, r12, r8\n asr.w lr, lr, r8\n ssat r12, #8, r12\n ssat lr, #8, lr\n"                                   \
    "strb.w r12, [r2]\n add.w r2, r2, r1\n cmp.w r0, r9\n strb.w lr, [r2]\n add.w r2, r2, r1\n"

/* Channel by channel, whose weights are in r3 and r4 as (w0, w1) and (w1, w2), its bias in r5, the multiplier, offset
   and shift in r6 to r8, the end of the third taps of pairs in r9, the two taps before in r10: pairs of outputs, then
   one at a time those that are left. */
KB_APART __attribute__((naked)) void run_channels(strip *line)
{
    __asm__("push {r0, r4-r11, lr}\n"
            "1: ldr.w lr, [sp]\n ldr.w r12, [lr, #16]\n ldr.w r9, [lr, #12]\n ldr.w r10, [lr, #20]\n"
            "ldm.w r12!, {r5, r6, r8}\n ldrsb.w r3, [r9]\n ldrsb.w r4, [r9, r10]\n ldrsb.w r11, [r9, r10, lsl #1]\n"
            "str.w r12, [lr, #16]\n add.w r9, r9, #1\n lsr.w r10, r8, #8\n str.w r9, [lr, #12]\n"
            "lsl.w r3, r3, r10\n lsl.w r4, r4, r10\n lsl.w r11, r11, r10\n"
            "ldr.w r12, [lr, #24]\n ldr.w r7, [lr, #28]\n add.w r9, r3, r4\n add.w r9, r9, r11\n mls r5, r9, r12, r5\n"
            "pkhbt r3, r3, r4, lsl #16\n pkhbt r4, r4, r11, lsl #16\n"
            "uxtb.w r8, r8\n sub.w r11, r8, #1\n lsl.w r7, r7, r11\n"
            "ldm.w lr, {r0-r2}\n ldrd r10, r11, [lr, #32]\n"
            "mov.w r9, r12\n cmp.w r10, #0\n it pl\n ldrsbpl.w r9, [r0, r10]\n"
            "cmp.w r11, #0\n it pl\n ldrsbpl.w r12, [r0, r11]\n pkhbt r10, r9, r12, lsl #16\n"
            "ldrd r11, r12, [lr, #40]\n add.w r9, r0, #1\n str.w r9, [lr]\n add.w r9, r2, #1\n str.w r9, [lr, #8]\n"
            "add.w r0, r0, r11\n add.w r9, r0, r12\n cmp.w r12, #0\n beq.w 4f\n"
            ".balign 4\n"
            "2: " NEXT_PAIR("r10", "r11") "beq.w 3f\n" NEXT_PAIR("r11", "r10") "bne.w 2b\n b.w 4f\n"
            "3: mov.w r10, r11\n"
            "4: ldr.w r12, [sp]\n ldr.w r9, [r12, #48]\n cmp.w r9, #0\n beq.w 6f\n"
            "ldr.w r11, [r12, #52]\n ldr.w lr, [r12, #24]\n"
            "cmp.w r11, #0\n mov.w r11, lr\n it ne\n ldrsbne.w r11, [r0]\n"
            ".balign 4\n"
            "5: smlad r12, r10, r3, r5\n smlabt r12, r11, r4, r12\n" TO_SCALE("r12")
            "lsr.w r10, r10, #16\n asr.w r12, r12, r8\n ssat r12, #8, r12\n pkhbt r10, r10, r11, lsl #16\n"
            "strb.w r12, [r2]\n add.w r2, r2, r1\n mov.w r11, lr\n subs.w r9, r9, #1\n bne.w 5b\n"
            "ldr.w r12, [sp]\n"
            "6: ldr.w r9, [r12, #56]\n subs.w r9, r9, #1\n str.w r9, [r12, #56]\n bne.w 1b\n"
            "pop {r0, r4-r11, pc}\n");
}
/* clang-format on */

/* All channels, of which there are four or more. */
KB_INLINE void by_channels(const int8_t *in, int8_t *out, const kb_depthwise_conv2d_s8_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, row = g->in.width * channels, turned = p->turned;
    const int32_t pad = turned ? g->pad_h : g->pad_w;
    const kb_range along = turned ? (kb_range){r->y, r->y_end} : (kb_range){r->x, r->x_end};
    const kb_range across = turned ? (kb_range){r->x, r->x_end} : (kb_range){r->y, r->y_end};
    const int32_t step = turned ? row : channels, below = turned ? channels : row;
    const int32_t below_out = turned ? channels : g->out.width * channels;
    const int32_t size = kb_min(turned ? g->in.height : g->in.width, along.to - pad + 2);
    const int32_t start = along.from - pad, count = along.to - along.from;
    const int32_t inside = kb_max(kb_min(count, size - start - 2), 0);
    const int32_t pairs = inside & ~1;
    int8_t *const whole = out;
    in += across.from * below;
    out += across.from * below_out + along.from * step;
    for (int32_t i = across.from; i < across.to; i++, in += below, out += below_out) {
        strip t = {in,
                   step,
                   out,
                   p->weight,
                   p->channel,
                   channels,
                   p->in_zero,
                   2 * p->out_zero + 1,
                   start < 0 ? -1 : start * step,
                   start < -1 || start + 1 >= size ? -1 : (start + 1) * step,
                   (start + 2) * step,
                   pairs * step,
                   count - pairs,
                   inside & 1,
                   channels};
        KB_STORED(&t);
        run_channels(&t);
    }
    kb_clamp_region(whole, &g->out, r, p->low);
}

#endif
