/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 with a stride of 1 or 2, by whose kernels it is included: with
   KB_TWICE before, results are rounded twice. A block of two by two outputs at a time, the weights of a channel staying
   in registers. Armv6-M has its own (depthwise_conv2d_3x3_s8_v6m.h), and so has RISC-V (depthwise_words.h); other cores
   without the DSP extension make it as any other (depthwise_conv2d_s8.h). */
#ifndef KB_DEPTHWISE_CONV2D_3X3_S8_H
#define KB_DEPTHWISE_CONV2D_3X3_S8_H

#ifdef __ARM_FEATURE_DSP
#define PITCH(across) KB_DEPTHWISE_ROWS
#include "depthwise_columns.h"

/* clang-format off */
#ifdef KB_TWICE
#define CHOOSE ""
#define BLOCK_CUT ANY_SHIFT
#else
/* Blocks are of channels whose shift is the usual one, to which sums are made (DepthwiseConv2d.constants): an instruction
   shifts and saturates. Other channels have pairs alone. */
#define RIGHT KB_TEXT(KB_DEPTHWISE_RIGHT)
#define CHOOSE "cmp.w lr, #" RIGHT "\n itt ne\n movne.w r3, #0\n ldrne.w r11, [sp, #92]\n"
#define BLOCK_CUT                                                                                                     \
    "ssat r1, #8, r1, asr #" RIGHT "\n ssat r3, #8, r3, asr #" RIGHT "\n"                                             \
    "ssat r12, #8, r12, asr #" RIGHT "\n ssat lr, #8, lr, asr #" RIGHT "\n"
#endif

/* The nine weights of a channel, whose numbers are in r10 to r12, as far to the left as its products are to be: of the
   first row in r4, r7 and r0, of the others in r5, r8, r1 and r6, r9, r3. */
#define NINE                                                                                                          \
    "ldr.w r2, [sp, #84]\n ldr.w lr, [sp, #88]\n add.w r0, r3, #1\n str.w r0, [sp, #60]\n"                            \
    "ldrsb.w r4, [r3]\n ldrsb.w r7, [r3, r2]\n ldrsb.w r0, [r3, r2, lsl #1]\n add.w r3, r3, lr\n"                     \
    "ldrsb.w r5, [r3]\n ldrsb.w r8, [r3, r2]\n ldrsb.w r1, [r3, r2, lsl #1]\n add.w r3, r3, lr\n"                     \
    "ldrsb.w r6, [r3]\n ldrsb.w r9, [r3, r2]\n ldrsb.w r3, [r3, r2, lsl #1]\n lsr.w r2, r12, #8\n"                    \
    "lsl.w r4, r4, r2\n lsl.w r5, r5, r2\n lsl.w r6, r6, r2\n lsl.w r7, r7, r2\n lsl.w r8, r8, r2\n"                  \
    "lsl.w r9, r9, r2\n lsl.w r0, r0, r2\n lsl.w r1, r1, r2\n lsl.w r3, r3, r2\n"                                     \
    "pkhbt r4, r4, r7, lsl #16\n pkhbt r5, r5, r8, lsl #16\n pkhbt r6, r6, r9, lsl #16\n"
/* The pairs (w0, w1) and (w1, w2) of each row. */
#define TWO_PAIRS NINE "pkhbt r7, r7, r0, lsl #16\n pkhbt r8, r8, r1, lsl #16\n pkhbt r9, r9, r3, lsl #16\n"
/* The words of a row of two windows one apart, which begin at r0, and what they add to the sums a and b with weights
   (w0, w1) in `low` and (w1, w2) in `high`; b begins with `begin`. */
#define BESIDE "16 * " KB_TEXT(KB_DEPTHWISE_ROWS)
#define LOAD_1(step) "ldr.w r11, [r0, #" BESIDE "]\n ldr.w r10, [r0], #" step "\n"
#define ADD_1(a, b, begin, low, high)                                                                                 \
    "smlad " b ", r11, " high ", " begin "\n smlad " a ", r10, " low ", " a "\n"                                      \
    "smlabt " a ", r11, " high ", " a "\n smlatb " b ", r10, " low ", " b "\n"
#define FIRST_1(a, b, begin) ADD_1(a, b, begin, "r4", "r7")
#define SECOND_1(a, b) ADD_1(a, b, b, "r5", "r8")
#define THIRD_1(a, b) ADD_1(a, b, b, "r6", "r9")
/* The same of windows two apart; w2 of the rows is in the halves of r7 and the lower one of r8. */
#define APART NINE "pkhbt r7, r0, r1, lsl #16\n mov.w r8, r3\n"
#define LOAD_2(step) "ldr.w r9, [r0, #2 * " BESIDE "]\n" LOAD_1(step)
#define ADD_2(a, b, begin, low, half, last)                                                                           \
    "smlad " b ", r11, " low ", " begin "\n smlad " a ", r10, " low ", " a "\n"                                       \
    "smlab" half " " a ", r11, " last ", " a "\n smlab" half " " b ", r9, " last ", " b "\n"
#define FIRST_2(a, b, begin) ADD_2(a, b, begin, "r4", "b", "r7")
#define SECOND_2(a, b) ADD_2(a, b, b, "r5", "t", "r7")
#define THIRD_2(a, b) ADD_2(a, b, b, "r6", "b", "r8")

/* The sums of two outputs in r1 and r3 and of the two below in r12 and lr, whose windows have two rows in common, or one. */
#define SUMS_1                                                                                                        \
    BIAS("r1") LOAD_1("16") FIRST_1("r1", "r3", "r1") BIAS("r12") LOAD_1("16") SECOND_1("r1", "r3")                   \
    FIRST_1("r12", "lr", "r12") LOAD_1("16") THIRD_1("r1", "r3") SECOND_1("r12", "lr") LOAD_1("-16") THIRD_1("r12", "lr")
#define SUMS_2                                                                                                        \
    BIAS("r1") LOAD_2("16") FIRST_2("r1", "r3", "r1") LOAD_2("16") SECOND_2("r1", "r3")                               \
    BIAS("r12") LOAD_2("16") THIRD_2("r1", "r3") FIRST_2("r12", "lr", "r12")                                          \
    LOAD_2("16") SECOND_2("r12", "lr") LOAD_2("0") THIRD_2("r12", "lr")
/* Of two outputs alone, in r1 and r3; `last` is from the last row to the first of the next pair. */
#define PAIR(LOAD, FIRST, SECOND, THIRD, last)                                                                        \
    BIAS("r1") LOAD("16") FIRST("r1", "r3", "r1") LOAD("16") SECOND("r1", "r3") LOAD(last) THIRD("r1", "r3")

/* All outputs of four channels. */
KB_APART __attribute__((naked)) void columns(const walk *w)
{
    COLUMNS(TWO_PAIRS, CHOOSE, SUMS_1, BLOCK_CUT, PAIR(LOAD_1, FIRST_1, SECOND_1, THIRD_1, "-16"));
}

KB_APART __attribute__((naked)) void columns_2(const walk *w)
{
    COLUMNS(APART, CHOOSE, SUMS_2, BLOCK_CUT, PAIR(LOAD_2, FIRST_2, SECOND_2, THIRD_2, "0"));
}

#define MAKE(stride, w) ((stride) == 1 ? columns(w) : columns_2(w))
/* clang-format on */

KB_INLINE void quads(const tile *t)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t rows = across->to - across->from, blocks = rows / 2;
    walk w = {across->out,
              along->out,
              rows % 2,
              2 * blocks * across->out,
              along->to - along->from,
              4 * QUAD * along->stride * (KB_DEPTHWISE_ROWS - rows),
              t->p->weight,
              t->p->channel,
              t->planes,
              t->out,
              2 * t->p->out_zero + 1,
              QUAD,
              along->weight,
              across->weight,
              rows};
    for (int32_t made = 0; made < t->p->window.in.channels; made += QUAD) {
        const int32_t c = first_of(t, made);
        w.weights = t->p->weight + c, w.channel = t->p->channel + 3 * c, w.out = t->out + c;
        spread(t, c);
        KB_STORED(&w);
        MAKE(along->stride, &w);
    }
}

#define CONVOLVE(in, out, scratch, p, r) by_tiles(in, out, scratch, p, r)
#elif defined(__ARM_ARCH_6M__)
#include "depthwise_conv2d_3x3_s8_v6m.h"
#elif defined(__riscv)
#include "depthwise_words.h"

#define CONVOLVE(in, out, scratch, p, r) by_tiles(in, out, scratch, p, r)
#else
#include "depthwise_conv2d_s8.h"

#define CONVOLVE(in, out, scratch, p, r) convolve_copies(in, out, scratch, p, r)
#endif

#endif
