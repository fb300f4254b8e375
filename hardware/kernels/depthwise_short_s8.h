/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of one to five taps along one axis with a stride of 1, and one along the other,
   on cores with the DSP extension, by whose kernels it is included: one channel of a row, or column, at a time, from
   where it lies. Its weights stay in registers and a word holds two neighbours, of which each is loaded once; the bias
   holds what the input's zero point takes, and padding is that zero point. An output is written when all input up to
   its place has been read: it may lie where the input lay. Kernels of one, two and four taps are made as of three and
   five, with weights of 0. */
#ifndef KB_DEPTHWISE_SHORT_S8_H
#define KB_DEPTHWISE_SHORT_S8_H

#include "kb_clamp.h"
#include "kb_depthwise.h"

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* A row or column of channels, of which there are `left` more: assembly moves what is of a channel on to the next. */
typedef struct {
    const int8_t *in;
    int32_t step; /* 4: from a pixel to the next one, of the input and the output */
    int8_t *out; /* 8 */
    const int8_t *weight; /* 12 */
    const int32_t *channel; /* 16 */
    int32_t apart; /* 20: from a tap's weights to the next one's, or 0 if there is but one */
    int32_t last; /* 24: from the first weight, or of five the third one, to the last */
    int32_t second_is; /* 28: -1, or 0 if the second weight of three is none */
    int32_t last_is; /* 32: the same of the last one */
    int32_t zero; /* 36: that of the input */
    int32_t round; /* 40: twice that of the output, and one */
    int32_t taps[4]; /* 44: where those of the first output but the last lie, or -1 for padding */
    int32_t next, span; /* 60: where its last one does, and how far those of pairs of outputs reach */
    int32_t single; /* 68: outputs after the pairs */
    int32_t odd; /* 72: whether the last tap of the first of them lies in the map */
    int32_t left; /* 76 */
} strip;

/* clang-format off */
#ifdef KB_TWICE
#define TO_SCALE(sum, factor, offset)                                                                                 \
    "smmulr " sum ", " sum ", " factor "\n add.w " sum ", " sum ", " sum ", asr #31\n"                                \
    "add.w " sum ", " sum ", " offset "\n"
#else
#define TO_SCALE(sum, factor, offset) "smmla " sum ", " sum ", " factor ", " offset "\n"
#endif
/* The next two values in the word `next`, by way of `first`. */
#define NEXT_WORD(first, next)                                                                                        \
    "ldrsb.w " first ", [r0]\n ldrsb.w " next ", [r0, r1]\n add.w r0, r0, r1, lsl #1\n"                               \
    "pkhbt " next ", " first ", " next ", lsl #16\n"
/* Two sums become outputs, by the shift in `right`. */
#define WRITE(first, second, factor, offset, right)                                                                   \
    TO_SCALE(first, factor, offset) TO_SCALE(second, factor, offset)                                                  \
    "asr.w " first ", " first ", " right "\n asr.w " second ", " second ", " right "\n"                               \
    "ssat " first ", #8, " first "\n strb.w " first ", [r2]\n add.w r2, r2, r1\n"                                     \
    "ssat " second ", #8, " second "\n strb.w " second ", [r2]\n add.w r2, r2, r1\n"
/* A value of the first output's window from its place, or the zero point. */
#define TAP(value, zero) "cmp.w " value ", #0\n ite mi\n movmi " value ", " zero "\n ldrsbpl.w " value ", [r0, " value "]\n"
/* The pointers of a channel in r0 to r2 from those at r12, which move on to the next. */
#define POINTERS "ldm.w r12, {r0-r2}\n add.w r10, r0, #1\n str.w r10, [r12]\n add.w r10, r2, #1\n str.w r10, [r12, #8]\n"
/* Where the last taps of pairs begin, in r0, and end, in `end`; whether there are any. */
#define PAIRS(end) "ldrd lr, " end ", [r12, #60]\n add.w r0, r0, lr\n cmp.w " end ", #0\n add.w " end ", " end ", r0\n"

/* A pair of outputs of three taps in r12 and `before`, of that word and the next one. */
#define PAIR_3(before, next)                                                                                          \
    NEXT_WORD("r12", next)                                                                                            \
    "smlad r12, " before ", r3, r5\n smlatb " before ", " before ", r3, r5\n"                                         \
    "smlabt r12, " next ", r4, r12\n smlad " before ", " next ", r4, " before "\n"                                    \
    WRITE("r12", before, "r6", "r7", "r8") "cmp.w r0, r9\n"

/* Channel by channel, whose weights are in r3 and r4 as (w0, w1) and (w1, w2), its bias in r5, the multiplier, offset
   and shift in r6 to r8, the end of the last taps of pairs in r9, the two taps before in r10: pairs of outputs, then
   one at a time those that are left. */
KB_APART __attribute__((naked)) void run_3(strip *line)
{
    __asm__("push {r0, r4-r11, lr}\n"
            "1: ldr.w r12, [sp]\n ldr.w r0, [r12, #16]\n ldr.w r9, [r12, #12]\n ldr.w r10, [r12, #20]\n ldr.w r11, [r12, #24]\n"
            "ldr.w r1, [r12, #28]\n ldr.w r2, [r12, #32]\n ldr.w lr, [r12, #36]\n ldr.w r7, [r12, #40]\n"
            "ldm.w r0!, {r5, r6, r8}\n ldrsb.w r3, [r9]\n ldrsb.w r4, [r9, r10]\n ldrsb.w r11, [r9, r11]\n"
            "and.w r4, r4, r1\n and.w r2, r2, r11\n"
            "str.w r0, [r12, #16]\n add.w r9, r9, #1\n lsr.w r10, r8, #8\n str.w r9, [r12, #12]\n"
            "lsl.w r3, r3, r10\n lsl.w r4, r4, r10\n lsl.w r2, r2, r10\n"
            "add.w r0, r3, r4\n add.w r0, r0, r2\n mls r5, r0, lr, r5\n"
            "pkhbt r3, r3, r4, lsl #16\n pkhbt r4, r4, r2, lsl #16\n sub.w r11, r8, #1\n lsl.w r7, r7, r11\n"
            POINTERS "ldrd r10, r11, [r12, #44]\n" TAP("r10", "lr") TAP("r11", "lr") "pkhbt r10, r10, r11, lsl #16\n"
            PAIRS("r9") "beq.w 4f\n"
            ".balign 4\n"
            "2: " PAIR_3("r10", "r11") "beq.w 3f\n" PAIR_3("r11", "r10") "bne.w 2b\n b.w 4f\n"
            "3: mov.w r10, r11\n"
            "4: ldr.w lr, [sp]\n ldr.w r9, [lr, #68]\n ldr.w r12, [lr, #36]\n ldr.w r11, [lr, #72]\n cmp.w r9, #0\n beq.w 6f\n"
            "cmp.w r11, #0\n ite ne\n ldrsbne.w r11, [r0]\n moveq r11, r12\n"
            ".balign 4\n"
            "5: smlad lr, r10, r3, r5\n smlabt lr, r11, r4, lr\n" TO_SCALE("lr", "r6", "r7")
            "lsr.w r10, r10, #16\n asr.w lr, lr, r8\n ssat lr, #8, lr\n pkhbt r10, r10, r11, lsl #16\n"
            "strb.w lr, [r2]\n add.w r2, r2, r1\n mov.w r11, r12\n subs.w r9, r9, #1\n bne.w 5b\n"
            "ldr.w lr, [sp]\n"
            "6: ldr.w r9, [lr, #76]\n subs.w r9, r9, #1\n str.w r9, [lr, #76]\n bne.w 1b\n"
            "pop {r0, r4-r11, pc}\n");
}

/* A pair of outputs of five taps in lr and `a`, of that word, the next one, and the one after it, which is loaded. */
#define PAIR_5(a, b, c)                                                                                               \
    NEXT_WORD("lr", c)                                                                                                \
    "smlad lr, " a ", r3, r7\n smlatb " a ", " a ", r3, r7\n smlad lr, " b ", r4, lr\n smlad " a ", " b ", r5, " a "\n" \
    "smlabt lr, " c ", r6, lr\n smlabt " a ", " c ", r4, " a "\n smlatt " a ", " c ", r6, " a "\n"                    \
    WRITE("lr", a, "r8", "r9", "r6") "ldr.w lr, [sp, #4]\n cmp.w r0, lr\n"

/* The same of five taps: weights in r3 to r5 as (w0, w1), (w2, w3) and (w1, w2), w4 above the shift in r6, bias,
   multiplier and offset in r7 to r9, the four taps before in r10 and r11; the end of pairs on the stack. */
KB_APART __attribute__((naked)) void run_5(strip *line)
{
    __asm__("push {r0, r1, r4-r11, lr}\n"
            "1: ldr.w r12, [sp]\n ldr.w r0, [r12, #16]\n ldr.w r9, [r12, #12]\n ldr.w r10, [r12, #20]\n ldr.w r11, [r12, #24]\n ldr.w r6, [r12, #32]\n"
            "ldm.w r0!, {r7, r8, lr}\n add.w r2, r9, r10, lsl #1\n"
            "ldrsb.w r3, [r9]\n ldrsb.w r1, [r9, r10]\n ldrsb.w r4, [r2]\n ldrsb.w r5, [r2, r10]\n ldrsb.w r11, [r2, r11]\n"
            "and.w r6, r6, r11\n"
            "str.w r0, [r12, #16]\n add.w r9, r9, #1\n lsr.w r10, lr, #8\n str.w r9, [r12, #12]\n"
            "lsl.w r3, r3, r10\n lsl.w r1, r1, r10\n lsl.w r4, r4, r10\n lsl.w r5, r5, r10\n lsl.w r6, r6, r10\n"
            "ldrd r9, r10, [r12, #36]\n"
            "add.w r0, r3, r1\n add.w r2, r4, r5\n add.w r0, r0, r6\n add.w r0, r0, r2\n mls r7, r0, r9, r7\n"
            "pkhbt r3, r3, r1, lsl #16\n pkhbt r1, r1, r4, lsl #16\n pkhbt r4, r4, r5, lsl #16\n"
            "mov.w r5, r1\n pkhbt r6, lr, r6, lsl #16\n sub.w lr, lr, #1\n lsl.w lr, r10, lr\n str.w lr, [sp, #4]\n"
            POINTERS "add.w lr, r12, #44\n ldm.w lr, {r10, r11, r12, lr}\n" TAP("r10", "r9") TAP("r11", "r9") TAP("r12", "r9") TAP("lr", "r9")
            "pkhbt r10, r10, r11, lsl #16\n pkhbt r11, r12, lr, lsl #16\n"
            "ldr.w r12, [sp]\n ldr.w r9, [sp, #4]\n ldrd lr, r12, [r12, #60]\n add.w r0, r0, lr\n cmp.w r12, #0\n"
            "add.w r12, r12, r0\n str.w r12, [sp, #4]\n beq.w 5f\n"
            ".balign 4\n"
            "2: " PAIR_5("r10", "r11", "r12") "beq.w 3f\n" PAIR_5("r11", "r12", "r10") "beq.w 4f\n"
            PAIR_5("r12", "r10", "r11") "bne.w 2b\n b.w 5f\n"
            "3: mov.w r10, r11\n mov.w r11, r12\n b.w 5f\n"
            "4: mov.w r11, r10\n mov.w r10, r12\n"
            "5: ldr.w r12, [sp]\n ldr.w lr, [r12, #68]\n cmp.w lr, #0\n beq.w 7f\n"
            "str.w lr, [sp, #4]\n ldr.w lr, [r12, #72]\n ldr.w r12, [r12, #36]\n cmp.w lr, #0\n it ne\n ldrsbne.w r12, [r0]\n"
            ".balign 4\n"
            "6: smlad lr, r10, r3, r7\n smlad lr, r11, r4, lr\n smlabt lr, r12, r6, lr\n" TO_SCALE("lr", "r8", "r9")
            "lsr.w r10, r10, #16\n asr.w lr, lr, r6\n ssat lr, #8, lr\n pkhbt r10, r10, r11, lsl #16\n"
            "strb.w lr, [r2]\n lsr.w r11, r11, #16\n add.w r2, r2, r1\n pkhbt r11, r11, r12, lsl #16\n"
            "ldr.w r12, [sp]\n ldr.w lr, [sp, #4]\n ldr.w r12, [r12, #36]\n subs.w lr, lr, #1\n str.w lr, [sp, #4]\n bne.w 6b\n"
            "ldr.w r12, [sp]\n"
            "7: ldr.w lr, [r12, #76]\n subs.w lr, lr, #1\n str.w lr, [r12, #76]\n bne.w 1b\n"
            "pop {r0, r1, r4-r11, pc}\n");
}
/* clang-format on */

/* All channels. */
KB_INLINE void by_channels(const int8_t *in, int8_t *out, const kb_depthwise_conv2d_s8_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, row = g->in.width * channels, turned = p->turned;
    const int32_t kernel = g->kernel_h * g->kernel_w, few = kernel <= 3, before = few ? 2 : 4;
    const int32_t pad = turned ? g->pad_h : g->pad_w;
    const kb_range along = turned ? (kb_range){r->y, r->y_end} : (kb_range){r->x, r->x_end};
    const kb_range across = turned ? (kb_range){r->x, r->x_end} : (kb_range){r->y, r->y_end};
    const int32_t step = turned ? row : channels;
    const int32_t below = turned ? channels : row * g->stride_h;
    const int32_t below_out = turned ? channels : g->out.width * channels;
    const int32_t size = kb_min(turned ? g->in.height : g->in.width, along.to - pad + kernel - 1);
    const int32_t start = along.from - pad, count = along.to - along.from;
    const int32_t inside = kb_max(kb_min(count, size - start - before), 0), pairs = inside & ~1;
    in += across.from * below;
    int8_t *to = out + across.from * below_out + along.from * step;
    strip t;
    t.step = step, t.apart = kernel > 1 ? channels : 0, t.second_is = kernel > 1 ? -1 : 0;
    t.last = kernel == before + 1 ? 2 * channels : 0, t.last_is = kernel == before + 1 ? -1 : 0;
    t.zero = p->in_zero, t.round = 2 * p->out_zero + 1;
    KB_NO_UNROLL
    for (int32_t i = 0; i < before; i++)
        t.taps[i] = start + i < 0 || start + i >= size ? -1 : (start + i) * step;
    t.next = (start + before) * step, t.span = pairs * step, t.single = count - pairs, t.odd = inside & 1;
    for (int32_t i = across.from; i < across.to; i++, in += below, to += below_out) {
        t.in = in, t.out = to, t.weight = p->weight, t.channel = p->channel, t.left = channels;
        KB_STORED(&t);
        if (few)
            run_3(&t);
        else
            run_5(&t);
    }
    kb_clamp_region(out, &g->out, r, p->low);
}

#endif
