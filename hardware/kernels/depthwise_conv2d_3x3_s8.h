/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 with a stride of 1 or 2, by whose kernels it is included: with
   KB_TWICE before, results are rounded twice. A pair of outputs at a time, the weights of a channel staying in
   registers. Armv6-M has its own (depthwise_conv2d_3x3_s8_v6m.h); other cores without the DSP extension make it as any
   other (depthwise_conv2d_s8.h). */
#ifndef KB_DEPTHWISE_CONV2D_3X3_S8_H
#define KB_DEPTHWISE_CONV2D_3X3_S8_H

#ifdef __ARM_FEATURE_DSP
#include "depthwise_planes.h"

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* What the loops over the outputs of a channel read, each at four times its place; where a column begins and ends moves
   on with it. */
typedef struct {
    int32_t bias, multiplier, offset, right;
    int32_t beside; /* 16: from the first output of a pair to the second */
    int32_t below;  /* 20: from an output to the next one across */
    int8_t *end;    /* 24: of a column */
    int32_t pairs;  /* 28: columns of two outputs */
    int32_t single; /* 32: whether one of one output follows */
    int32_t next;   /* 36: bytes from a word of a plane to its neighbour */
    const uint32_t *plane; /* 40 */
    int8_t *out;           /* 44 */
} walk;

/* clang-format off */
/* A sum, which begins with the bias, scaled and rounded by the multiplier in r10 and the offset in r11, which is lost. */
#ifdef KB_TWICE
#define SCALE(sum) "add.w r11, r11, " sum ", asr #31\n smmlar " sum ", " sum ", r10, r11\n"
#define AGAIN "ldr.w r11, [r3, #8]\n"
#else
#define SCALE(sum) "smmla " sum ", " sum ", r10, r11\n"
#define AGAIN
#endif

/* A row of two windows one apart, from the words in r10 and r11: (w0, w1) in `low`, (w1, w2) in `high`. Of the first
   row, both sums begin with the bias in r12. */
#define ROW_1(low, high, begin, step)                                                                                 \
    "ldr.w r11, [r0, r2]\n ldr.w r10, [r0], #" step "\n smlad lr, r11, " high ", " begin "\n"                         \
    "smlad r12, r10, " low ", r12\n smlabt r12, r11, " high ", r12\n smlatb lr, r10, " low ", lr\n"
/* The same for windows two apart, from three words. */
#define ROW_2(low, high, begin, step)                                                                                 \
    "ldr.w r10, [r0, r2, lsl #1]\n ldr.w r11, [r0, r2]\n smlabt lr, r10, " high ", " begin "\n"                       \
    "smlabt r12, r11, " high ", r12\n smlad lr, r11, " low ", lr\n"                                                   \
    "ldr.w r10, [r0], #" step "\n smlad r12, r10, " low ", r12\n"
/* Of one window. */
#define ROW(low, high, step)                                                                                          \
    "ldr.w r11, [r0, r2]\n ldr.w r10, [r0], #" step "\n"                                                              \
    "smlabt r12, r11, " high ", r12\n smlad r12, r10, " low ", r12\n"

#define COLUMNS(ROWS, last_step, words)                                                                               \
    __asm__("push {r4-r11, lr}\n ldm.w r0, {r4-r9}\n mov r3, r1\n ldr r0, [r3, #40]\n ldr r1, [r3, #44]\n"            \
            "ldr r2, [r3, #36]\n ldr r12, [r3, #28]\n cmp.w r12, #0\n beq 2f\n"                                       \
            ".balign 4\n"                                                                                             \
            "1: ldr.w r12, [r3]\n"                                                                                    \
            ROWS("r4", "r7", "r12", "16") ROWS("r5", "r8", "lr", "16") ROWS("r6", "r9", "lr", last_step)              \
            "ldr.w r10, [r3, #4]\n ldr.w r11, [r3, #8]\n" SCALE("r12") AGAIN SCALE("lr")                              \
            "ldr.w r10, [r3, #12]\n ldr.w r11, [r3, #16]\n"                                                           \
            "asr.w r12, r12, r10\n asr.w lr, lr, r10\n ssat lr, #8, lr\n ssat r12, #8, r12\n"                         \
            "strb.w lr, [r1, r11]\n strb.w r12, [r1]\n"                                                               \
            "ldr.w r10, [r3, #20]\n ldr.w r11, [r3, #24]\n"                                                           \
            "add.w r1, r1, r10\n cmp.w r1, r11\n bne.w 1b\n"                                                          \
            "ldr r0, [r3, #40]\n ldr r1, [r3, #44]\n ldr r10, [r3, #16]\n ldr r12, [r3, #28]\n"                        \
            "add.w r0, r0, r2" words "\n add.w r1, r1, r10, lsl #1\n add.w r11, r11, r10, lsl #1\n"                   \
            "subs.w r12, r12, #1\n str r0, [r3, #40]\n str r1, [r3, #44]\n str r11, [r3, #24]\n str r12, [r3, #28]\n"   \
            "bne.w 1b\n"                                                                                              \
            "2: ldr r12, [r3, #32]\n cmp.w r12, #0\n beq 4f\n"                                          \
            ".balign 4\n"                                                                                             \
            "3: ldr.w r12, [r3]\n" ROW("r4", "r7", "16") ROW("r5", "r8", "16") ROW("r6", "r9", last_step)              \
            "ldr.w r10, [r3, #4]\n ldr.w r11, [r3, #8]\n" SCALE("r12") "ldr.w r10, [r3, #12]\n"                       \
            "asr.w r12, r12, r10\n ldr.w r10, [r3, #20]\n ldr.w r11, [r3, #24]\n ssat r12, #8, r12\n"                 \
            "strb.w r12, [r1]\n add.w r1, r1, r10\n cmp.w r1, r11\n bne.w 3b\n"                                       \
            "4: pop {r4-r11, pc}\n")
/* clang-format on */

/* All outputs of a channel, whose weights are [row](w0, w1), then [row](w1, w2). */
KB_APART __attribute__((naked)) void columns(const uint32_t *weights, walk *w)
{
    COLUMNS(ROW_1, "-16", "");
}

KB_APART __attribute__((naked)) void columns_2(const uint32_t *weights, walk *w)
{
    COLUMNS(ROW_2, "0", ", lsl #1");
}

/* The weights of four channels, as `columns` reads them. */
KB_APART void pair_weights(const tile *t, const int8_t *w, uint32_t *to)
{
    KB_NO_UNROLL
    for (int32_t row = 0; row < 3; row++, to++, w += t->across.weight) {
        uint32_t even[3], odd[3];
        for (int32_t i = 0; i < 3; i++) {
            const uint32_t four = kb_load4(w + i * t->along.weight);
            even[i] = kb_sxtb16(four), odd[i] = kb_sxtb16_odd(four);
        }
        for (int32_t i = 0; i < 2; i++) {
            to[3 * i] = (even[i] & 0xFFFF) | even[i + 1] << 16;
            to[3 * i + 6] = (odd[i] & 0xFFFF) | odd[i + 1] << 16;
            to[3 * i + 12] = even[i] >> 16 | (even[i + 1] & 0xFFFF0000);
            to[3 * i + 18] = odd[i] >> 16 | (odd[i + 1] & 0xFFFF0000);
        }
    }
}

KB_APART void quad(const tile *t, int32_t c)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t count = along->to - along->from, span = (across->to - across->from) * across->out;
    uint32_t weights[QUAD * 6], *own = weights;
    int8_t *out = t->out + c;
    walk w = {.beside = along->out, .below = across->out, .single = count % 2, .next = 4 * QUAD * across->extent};
    pair_weights(t, t->p->weight + c, weights);
    KB_NO_UNROLL
    for (int32_t j = 0; j < QUAD; j++, own += 6, out++) {
        const scaling s = scaling_of(t->p->channel + 3 * (c + j), t->p->out_zero);
        KB_NO_UNROLL
        for (int32_t i = 0; s.left && i < 6; i++)
            own[i] = kb_shift16(own[i], s.left);
        w.bias = s.bias, w.multiplier = s.multiplier, w.offset = s.offset, w.right = s.right;
        w.end = out + span, w.pairs = count / 2, w.plane = t->planes + j, w.out = out;
        KB_STORED(&w);
        if (along->stride == 1)
            columns(own, &w);
        else
            columns_2(own, &w);
    }
}

#define CONVOLVE(in, out, scratch, p, r) by_tiles(in, out, scratch, p, r)
#elif defined(__ARM_ARCH_6M__)
#include "depthwise_conv2d_3x3_s8_v6m.h"
#else
#include "depthwise_conv2d_s8.h"

#define CONVOLVE(in, out, scratch, p, r) convolve_copies(in, out, scratch, p, r)
#endif

#endif
