/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 with a stride of 1, 2 or 3, by whose kernels it is included: with
   KB_TWICE before, results are rounded twice. A block of two by two outputs at a time, the weights of a channel staying in
   registers. Cores without the DSP extension make it as any other (depthwise_conv2d_s8.h). */
#ifndef KB_DEPTHWISE_CONV2D_3X3_S8_H
#define KB_DEPTHWISE_CONV2D_3X3_S8_H

#ifdef __ARM_FEATURE_DSP
#define PITCH(across) KB_DEPTHWISE_ROWS
#include "depthwise_planes.h"

/* What the loops over the outputs of four channels read; assembly has a copy of its own on the stack, from 28 on, in which
   what is of a channel moves on to the next one. */
typedef struct {
    int32_t below;  /* 28: from an output to the next one across */
    int32_t beside; /* 32: from the first output of a pair to the second */
    int32_t odd;    /* 36: whether a row of outputs is left by the blocks of two */
    int32_t span;   /* 40: from the first output of a column to where its blocks end */
    int32_t count;  /* 44: outputs along */
    int32_t onward; /* 48: from where the blocks of a column end in the plane to the next column */
    const uint32_t *weights; /* 52: [2][rows][QUAD]: (w0, w1) of every row, then (w1, w2) */
    const int32_t *channel;  /* 56 */
    const uint32_t *plane;   /* 60 */
    int8_t *out;             /* 64 */
    int32_t zero;            /* 68: twice that of the output, and one */
    int32_t channels;        /* 72: that are left */
} walk;

/* clang-format off */
/* Two sums scaled and rounded by the multiplier in r10 and the offset in r11. */
#ifdef KB_TWICE
#define ONE_SCALED(sum)                                                                                               \
    "smmulr " sum ", " sum ", r10\n add.w " sum ", " sum ", " sum ", asr #31\n add.w " sum ", " sum ", r11\n"
#else
#define ONE_SCALED(sum) "smmla " sum ", " sum ", r10, r11\n"
#endif
#define SCALE(a, b) ONE_SCALED(a) ONE_SCALED(b)
#define CUT(a, b) "asr.w " a ", " a ", r10\n asr.w " b ", " b ", r10\n ssat " a ", #8, " a "\n ssat " b ", #8, " b "\n"
#define STORE(a, b) "strb.w " b ", [r2, r11]\n strb.w " a ", [r2]\n"

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
/* The same of windows two apart; w2 of the rows is in the halves of r7 and the upper one of r8. */
#define LOAD_2(step) "ldr.w r9, [r0, #2 * " BESIDE "]\n" LOAD_1(step)
#define ADD_2(a, b, begin, low, half, last)                                                                           \
    "smlad " b ", r11, " low ", " begin "\n smlad " a ", r10, " low ", " a "\n"                                       \
    "smlab" half " " a ", r11, " last ", " a "\n smlab" half " " b ", r9, " last ", " b "\n"
#define FIRST_2(a, b, begin) ADD_2(a, b, begin, "r4", "b", "r7")
#define SECOND_2(a, b) ADD_2(a, b, b, "r5", "t", "r7")
#define THIRD_2(a, b) ADD_2(a, b, b, "r6", "t", "r8")

/* The same of windows three apart, whose third word is loaded last. */
#define ADD_3(a, b, begin, low, high, step)                                                                           \
    "smlatb " b ", r11, " low ", " begin "\n smlad " a ", r10, " low ", " a "\n smlabt " a ", r11, " high ", " a "\n"   \
    "ldr.w r10, [r0, #2 * " BESIDE " - " step "]\n smlad " b ", r10, " high ", " b "\n"

#define BIAS(sum) "ldr.w " sum ", [sp]\n"
/* The sums of two outputs in r1 and r3 and of the two below in r12 and lr, whose windows have two rows in common, or one. */
#define SUMS_1                                                                                                        \
    BIAS("r1") LOAD_1("16") FIRST_1("r1", "r3", "r1") BIAS("r12") LOAD_1("16") SECOND_1("r1", "r3")                   \
    FIRST_1("r12", "lr", "r12") LOAD_1("16") THIRD_1("r1", "r3") SECOND_1("r12", "lr") LOAD_1("-16") THIRD_1("r12", "lr")
#define SUMS_2                                                                                                        \
    BIAS("r1") LOAD_2("16") FIRST_2("r1", "r3", "r1") LOAD_2("16") SECOND_2("r1", "r3")                               \
    BIAS("r12") LOAD_2("16") THIRD_2("r1", "r3") FIRST_2("r12", "lr", "r12")                                          \
    LOAD_2("16") SECOND_2("r12", "lr") LOAD_2("0") THIRD_2("r12", "lr")
#define ROWS_3(a, b, last)                                                                                            \
    BIAS(a) LOAD_1("16") ADD_3(a, b, a, "r4", "r7", "16") LOAD_1("16") ADD_3(a, b, b, "r5", "r8", "16")               \
    LOAD_1(last) ADD_3(a, b, b, "r6", "r9", last)
#define SUMS_3 ROWS_3("r1", "r3", "16") ROWS_3("r12", "lr", "16")
/* Of two outputs alone, in r1 and r3. */
#define PAIR(LOAD, FIRST, SECOND, THIRD)                                                                              \
    BIAS("r1") LOAD("16") FIRST("r1", "r3", "r1") LOAD("16") SECOND("r1", "r3") LOAD("-32") THIRD("r1", "r3")

/* The channels; the columns of two outputs; the blocks of two by two. Of the one output of a last column, the second is
   written to the same place before. On the stack: bias, multiplier, offset, shift; from an output to the second one; where
   the blocks of the column end; the outputs along that are left. */
#define COLUMNS(REPACK, SUMS, PAIR)                                                                                   \
    __asm__("push {r4-r11, lr}\n ldm.w r0, {r1-r12}\n push.w {r1-r12}\n sub sp, #28\n"                                \
            "1: ldr r0, [sp, #52]\n ldr r1, [sp, #56]\n ldr r3, [sp, #68]\n"                                          \
            "ldr r4, [r0]\n ldr r5, [r0, #16]\n ldr r6, [r0, #32]\n ldr r7, [r0, #48]\n ldr.w r8, [r0, #64]\n"        \
            "ldr.w r9, [r0, #80]\n ldm r1!, {r10-r12}\n adds r0, #4\n str r0, [sp, #52]\n str r1, [sp, #56]\n" REPACK \
            "uxtb.w lr, r12\n sub.w r12, lr, #1\n lsl.w r12, r3, r12\n stm.w sp, {r10-r12, lr}\n"                     \
            "ldr r0, [sp, #60]\n ldr r2, [sp, #64]\n ldr r3, [sp, #40]\n ldr.w r12, [sp, #32]\n ldr.w lr, [sp, #44]\n" \
            "add.w r1, r0, #4\n add.w r10, r2, #1\n str r1, [sp, #60]\n str.w r10, [sp, #64]\n add r3, r2\n"          \
            "2: cmp.w lr, #1\n it eq\n moveq r12, #0\n"                                                               \
            "str r3, [sp, #20]\n str.w r12, [sp, #16]\n str.w lr, [sp, #24]\n cmp r2, r3\n beq.w 4f\n"                \
            ".balign 4\n"                                                                                             \
            "3: " SUMS "ldr.w r10, [sp, #4]\n ldr.w r11, [sp, #8]\n" SCALE("r1", "r3") SCALE("r12", "lr")             \
            "ldr.w r10, [sp, #12]\n ldr.w r11, [sp, #16]\n" CUT("r1", "r3") CUT("r12", "lr")                          \
            "ldr.w r10, [sp, #28]\n" STORE("r1", "r3") "add.w r2, r2, r10\n ldr.w r3, [sp, #20]\n"                    \
            STORE("r12", "lr") "add.w r2, r2, r10\n cmp.w r2, r3\n bne.w 3b\n"                                        \
            "4: ldr r1, [sp, #36]\n cmp r1, #0\n beq.w 5f\n"                                                          \
            ".balign 4\n" PAIR                                                                                        \
            "ldr.w r10, [sp, #4]\n ldr.w r11, [sp, #8]\n" SCALE("r1", "r3")                                           \
            "ldr.w r10, [sp, #12]\n ldr.w r11, [sp, #16]\n" CUT("r1", "r3") STORE("r1", "r3")                         \
            "5: ldr.w lr, [sp, #24]\n ldr.w r12, [sp, #32]\n ldr r1, [sp, #48]\n ldr r3, [sp, #20]\n ldr r2, [sp, #40]\n" \
            "add r0, r1\n add.w r3, r3, r12, lsl #1\n sub.w r2, r3, r2\n subs.w lr, lr, #2\n bgt.w 2b\n"              \
            "ldr r1, [sp, #72]\n subs r1, #1\n str r1, [sp, #72]\n bne.w 1b\n"                                        \
            "add sp, #76\n pop {r4-r11, pc}\n")

/* All outputs of four channels. */
KB_APART __attribute__((naked)) void columns(const walk *w)
{
    COLUMNS("", SUMS_1, PAIR(LOAD_1, FIRST_1, SECOND_1, THIRD_1));
}

KB_APART __attribute__((naked)) void columns_2(const walk *w)
{
    COLUMNS("pkhtb r7, r8, r7, asr #16\n mov r8, r9\n", SUMS_2, PAIR(LOAD_2, FIRST_2, SECOND_2, THIRD_2));
}

KB_APART __attribute__((naked)) void columns_3(const walk *w)
{
    COLUMNS("", SUMS_3, ROWS_3("r1", "r3", "-32"));
}
/* clang-format on */

/* Multiplies the six words of weights of every channel by what its products are shifted to the left. */
KB_INLINE void shift_weights(const int32_t *channel, uint32_t *weights)
{
    if ((channel[2] | channel[5] | channel[8] | channel[11]) < 256)
        return;
    KB_NO_UNROLL
    for (int32_t i = 0; i < 6 * QUAD; i++)
        weights[i] = kb_shift16(weights[i], channel[3 * (i % QUAD) + 2] >> 8);
}

KB_APART void quad(const tile *t, int32_t c)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t rows = across->to - across->from, blocks = rows / 2, step = along->weight;
    const int32_t *const channel = t->p->channel + 3 * c;
    const block taps = {step, across->weight, step - 3 * across->weight, 0, 2, 3};
    uint32_t weights[2 * 3 * QUAD];
    KB_STORED(&taps);
    spread_both(t->p->weight + c, weights, 0, &taps);
    KB_STORED(weights);
    shift_weights(channel, weights);
    const walk w = {across->out,
                    along->out,
                    rows % 2,
                    2 * blocks * across->out,
                    along->to - along->from,
                    4 * QUAD * along->stride * (KB_DEPTHWISE_ROWS - 2 * blocks),
                    weights,
                    channel,
                    t->planes,
                    t->out + c,
                    2 * t->p->out_zero + 1,
                    QUAD};
    KB_STORED(&w);
    if (along->stride == 1)
        columns(&w);
    else if (along->stride == 2)
        columns_2(&w);
    else
        columns_3(&w);
}

#define CONVOLVE(in, out, scratch, p, r) by_tiles(in, out, scratch, p, r)
#else
#include "depthwise_conv2d_s8.h"

#define CONVOLVE(in, out, scratch, p, r) convolve_copies(in, out, scratch, p, r)
#endif

#endif
