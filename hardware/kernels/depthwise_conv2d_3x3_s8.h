/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 with a stride of 1, 2 or 3, by whose kernels it is included: with
   KB_STRIDE_3 before, of 3 alone, else of 1 and 2; with KB_TWICE before, results are rounded twice. A block of two by
   two outputs at a time, the weights of a channel staying in registers. Armv6-M has its own
   (depthwise_conv2d_3x3_s8_v6m.h); other cores without the DSP extension make it as any
   other (depthwise_conv2d_s8.h). */
#ifndef KB_DEPTHWISE_CONV2D_3X3_S8_H
#define KB_DEPTHWISE_CONV2D_3X3_S8_H

#ifdef __ARM_FEATURE_DSP
#define PITCH(across) KB_DEPTHWISE_ROWS
#include "depthwise_columns.h"

/* clang-format off */
/* The words of a row of two windows one apart, which begin at r0, and what they add to the sums a and b with weights
   (w0, w1) in `low` and (w1, w2) in `high`; b begins with `begin`. */
#define BESIDE "16 * " KB_TEXT(KB_DEPTHWISE_ROWS)
#define LOAD_1(step) "ldr.w r11, [r0, #" BESIDE "]\n ldr.w r10, [r0], #" step "\n"
#ifdef KB_STRIDE_3
/* Windows three apart, whose third word is loaded last, so that no row is shared. */
#define ADD_3(a, b, begin, low, high, step)                                                                           \
    "smlatb " b ", r11, " low ", " begin "\n smlad " a ", r10, " low ", " a "\n smlabt " a ", r11, " high ", " a "\n"   \
    "ldr.w r10, [r0, #2 * " BESIDE " - " step "]\n smlad " b ", r10, " high ", " b "\n"
#define ROWS_3(a, b, last)                                                                                            \
    BIAS(a) LOAD_1("16") ADD_3(a, b, a, "r4", "r7", "16") LOAD_1("16") ADD_3(a, b, b, "r5", "r8", "16")               \
    LOAD_1(last) ADD_3(a, b, b, "r6", "r9", last)
#define SUMS_3 ROWS_3("r1", "r3", "16") ROWS_3("r12", "lr", "16")

/* All outputs of four channels. */
KB_APART __attribute__((naked)) void columns(const walk *w)
{
    COLUMNS("", SUMS_3, ROWS_3("r1", "r3", "-32"));
}

#define MAKE(stride, w) columns(w)
#else
#define ADD_1(a, b, begin, low, high)                                                                                 \
    "smlad " b ", r11, " high ", " begin "\n smlad " a ", r10, " low ", " a "\n"                                      \
    "smlabt " a ", r11, " high ", " a "\n smlatb " b ", r10, " low ", " b "\n"
#define FIRST_1(a, b, begin) ADD_1(a, b, begin, "r4", "r7")
#define SECOND_1(a, b) ADD_1(a, b, b, "r5", "r8")
#define THIRD_1(a, b) ADD_1(a, b, b, "r6", "r9")
/* The same of windows two apart; w2 of the rows is in the halves of r7 and the upper one of r8. */
#define LOAD_2(step) "ldr.w r9, [r0, #2 * " BESIDE "]\n" LOAD_1(step)
#define ADD_2(a, b, begin, low, half, last)                                                                           \
    "smlad " b ", r11, " low ", " begin "\n smlad " a ", r10, " low ", " a "\n"                                       \
    "smlab" half " " a ", r11, " last ", " a "\n smlab" half " " b ", r9, " last ", " b "\n"
#define FIRST_2(a, b, begin) ADD_2(a, b, begin, "r4", "b", "r7")
#define SECOND_2(a, b) ADD_2(a, b, b, "r5", "t", "r7")
#define THIRD_2(a, b) ADD_2(a, b, b, "r6", "t", "r8")

/* The sums of two outputs in r1 and r3 and of the two below in r12 and lr, whose windows have two rows in common, or one. */
#define SUMS_1                                                                                                        \
    BIAS("r1") LOAD_1("16") FIRST_1("r1", "r3", "r1") BIAS("r12") LOAD_1("16") SECOND_1("r1", "r3")                   \
    FIRST_1("r12", "lr", "r12") LOAD_1("16") THIRD_1("r1", "r3") SECOND_1("r12", "lr") LOAD_1("-16") THIRD_1("r12", "lr")
#define SUMS_2                                                                                                        \
    BIAS("r1") LOAD_2("16") FIRST_2("r1", "r3", "r1") LOAD_2("16") SECOND_2("r1", "r3")                               \
    BIAS("r12") LOAD_2("16") THIRD_2("r1", "r3") FIRST_2("r12", "lr", "r12")                                          \
    LOAD_2("16") SECOND_2("r12", "lr") LOAD_2("0") THIRD_2("r12", "lr")
/* Of two outputs alone, in r1 and r3. */
#define PAIR(LOAD, FIRST, SECOND, THIRD)                                                                              \
    BIAS("r1") LOAD("16") FIRST("r1", "r3", "r1") LOAD("16") SECOND("r1", "r3") LOAD("-32") THIRD("r1", "r3")

/* All outputs of four channels. */
KB_APART __attribute__((naked)) void columns(const walk *w)
{
    COLUMNS("", SUMS_1, PAIR(LOAD_1, FIRST_1, SECOND_1, THIRD_1));
}

KB_APART __attribute__((naked)) void columns_2(const walk *w)
{
    COLUMNS("pkhtb r7, r8, r7, asr #16\n mov r8, r9\n", SUMS_2, PAIR(LOAD_2, FIRST_2, SECOND_2, THIRD_2));
}

#define MAKE(stride, w) ((stride) == 1 ? columns(w) : columns_2(w))
#endif
/* clang-format on */

KB_INLINE void quads(const tile *t)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t rows = across->to - across->from, blocks = rows / 2, step = along->weight;
    const block taps = {step, across->weight, step - 3 * across->weight, 0, 2, 3};
    uint32_t weights[2 * 3 * QUAD];
    walk w = {across->out,
              along->out,
              rows % 2,
              2 * blocks * across->out,
              along->to - along->from,
              4 * QUAD * along->stride * (KB_DEPTHWISE_ROWS - 2 * blocks),
              weights,
              t->p->channel,
              t->planes,
              t->out,
              2 * t->p->out_zero + 1,
              QUAD};
    KB_STORED(&taps);
    for (int32_t made = 0; made < t->p->window.in.channels; made += QUAD) {
        const int32_t c = first_of(t, made);
        w.channel = t->p->channel + 3 * c, w.out = t->out + c;
        spread(t, c);
        spread_both(t->p->weight + c, weights, 0, &taps);
        KB_STORED(weights);
        shift_weights(w.channel, weights, weights + 2 * 3 * QUAD);
        KB_STORED(&w);
        MAKE(along->stride, &w);
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
