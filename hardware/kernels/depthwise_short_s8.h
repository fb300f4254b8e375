/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of three taps along one axis with a
   stride of 1, and one along the other, on cores with the DSP extension, by
   whose kernels it is included: one channel of a row, or column, at a time,
   from where it lies. Its weights stay in two registers and a word holds two
   neighbours, of which each is loaded once; the bias holds what the input's
   zero point takes, and padding is that zero point. An output is written when
   all input up to its place has been read: it may lie where the input lay. */
#ifndef KB_DEPTHWISE_SHORT_S8_H
#define KB_DEPTHWISE_SHORT_S8_H

#include "depthwise_planes.h"

/* What the loops over the outputs of a channel have in r0 to r10, and what they
 * read at their end. */
typedef struct {
    const int8_t *in; /* the third tap of the first output */
    int32_t step;     /* to the next one, and so of the outputs */
    int8_t *out;
    uint32_t w01, w12; /* weights */
    int32_t bias;
    int32_t multiplier, offset, right; /* as in scaling */
    const int8_t *end;                 /* of `in`, for pairs of outputs */
    uint32_t x01;                      /* the two taps before */
    int32_t left;                      /* 44: outputs after the pairs */
    int32_t odd; /* 48: whether the third tap of the first of them lies in the map */
    int32_t zero; /* 52: that of the input */
} run;

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

/* All outputs of a channel: pairs, then one at a time those that are left. */
KB_APART __attribute__((naked)) void run_channel(const run *line)
{
    __asm__("push {r0, r4-r11, lr}\n ldm.w r0, {r0-r10}\n cmp.w r0, r9\n beq.w 3f\n"
            ".balign 4\n"
            "1: " NEXT_PAIR("r10", "r11") "beq.w 2f\n" NEXT_PAIR("r11", "r10") "bne.w 1b\n b.w 3f\n"
            "2: mov.w r10, r11\n"
            "3: ldr.w r12, [sp]\n ldr.w r9, [r12, #44]\n ldr.w r11, [r12, #48]\n ldr.w lr, [r12, #52]\n"
            "cmp.w r9, #0\n beq.w 5f\n"
            "cmp.w r11, #0\n mov.w r11, lr\n it ne\n ldrsbne.w r11, [r0]\n"
            ".balign 4\n"
            "4: smlad r12, r10, r3, r5\n smlabt r12, r11, r4, r12\n" TO_SCALE("r12")
            "lsr.w r10, r10, #16\n asr.w r12, r12, r8\n ssat r12, #8, r12\n pkhbt r10, r10, r11, lsl #16\n"
            "strb.w r12, [r2]\n add.w r2, r2, r1\n mov.w r11, lr\n subs.w r9, r9, #1\n bne.w 4b\n"
            "5: pop {r0, r4-r11, pc}\n");
}
/* clang-format on */

/* A row or column of channels: its input, where its outputs begin; from one
   pixel to the next; outputs, and bytes that those made in pairs span; and
   where of each channel the first two taps of the first output lie, or -1 for
   padding, and the third. */
typedef struct {
    const int8_t *in;
    int8_t *out;
    int32_t step, count, span, first, second, third, left, odd;
} strip;

KB_INLINE uint32_t pair_of(int32_t first, int32_t second)
{
    return (uint32_t)second << 16 | ((uint32_t)first & 0xFFFF);
}

KB_APART void strip_channels(const strip *t, const kb_depthwise_conv2d_s8_params *p)
{
    const int32_t channels = p->window.in.channels, zero = p->in_zero, round = 2 * p->out_zero + 1;
    const int32_t *channel = p->channel;
    const int8_t *in = t->in, *const end = in + channels;
    const int8_t *w = p->weight;
    run line;
    line.step = t->step;
    line.out = t->out;
    line.left = t->left;
    line.odd = t->odd;
    line.zero = zero;
    KB_NO_UNROLL
    for (; in != end; in++, w++, channel += 3) {
        const int32_t right = channel[2] & 0xFF, left = channel[2] >> 8;
        const int32_t w0 = w[0] * (1 << left), w1 = w[channels] * (1 << left), w2 = w[2 * channels] * (1 << left);
        line.w01 = pair_of(w0, w1);
        line.w12 = pair_of(w1, w2);
        line.bias = (int32_t)((uint32_t)channel[0] - (uint32_t)(zero * (w0 + w1 + w2)));
        line.multiplier = channel[1];
        line.offset = round * (1 << (right - 1));
        line.right = right;
        line.x01 = pair_of(t->first < 0 ? zero : in[t->first], t->second < 0 ? zero : in[t->second]);
        line.in = in + t->third;
        line.end = line.in + t->span;
        KB_STORED(&line);
        run_channel(&line);
        line.out++;
    }
}

/* Raises the outputs to `low`. */
KB_APART void raise(const strip *t, const kb_depthwise_conv2d_s8_params *p)
{
    const uint32_t lows = ((uint32_t)p->low & 0xFF) * 0x01010101;
    const int32_t last = p->window.in.channels - 4;
    int8_t *out = t->out;
    for (int32_t i = 0; i < t->count; i++, out += t->step) {
        KB_NO_UNROLL
        for (int32_t next = 0; next < last + 4; next += 4) {
            int8_t *const to = out + kb_min(next, last);
            const uint32_t larger = kb_max4(kb_load4(to), lows);
            __builtin_memcpy(to, &larger, 4);
        }
    }
}

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
    strip t = {in + across.from * below,
               out + across.from * below_out + along.from * step,
               step,
               count,
               (inside & ~1) * step,
               start < 0 ? -1 : start * step,
               start < -1 || start + 1 >= size ? -1 : (start + 1) * step,
               (start + 2) * step,
               count - (inside & ~1),
               inside & 1};
    for (int32_t i = across.from; i < across.to; i++, t.in += below, t.out += below_out) {
        strip_channels(&t, p);
        if (p->low > -128)
            raise(&t, p);
    }
}

#endif
