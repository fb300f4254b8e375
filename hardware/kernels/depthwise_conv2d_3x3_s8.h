/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 with a stride of 1 or 2, by whose kernels it is included: with
   KB_TWICE before, results are rounded twice. A block of two by two outputs at a time, the weights of a channel staying in
   registers. Cores without the DSP extension make it as any other (depthwise_conv2d_s8.h). */
#ifndef KB_DEPTHWISE_CONV2D_3X3_S8_H
#define KB_DEPTHWISE_CONV2D_3X3_S8_H

#ifdef __ARM_FEATURE_DSP
#include "depthwise_planes.h"

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* What the loops over the outputs of four channels read; assembly has a copy of its own on the stack, from 32 on, each at
   four times its place. Of what is of a channel, the next one's is read from where they moved on to. */
typedef struct {
    int32_t below;  /* 32: from an output to the next one across */
    int32_t next;   /* 36: bytes from a word of a plane to its neighbour */
    int32_t beside; /* 40: from the first output of a pair to the second */
    int32_t odd;    /* 44: whether a row of outputs is left by the blocks of two */
    int32_t span;   /* 48: from the first output of a column to where its blocks end */
    int32_t count;  /* 52: outputs along */
    int32_t onward; /* 56: from where the blocks of a column end in the plane to the next column */
    const uint32_t *weights; /* 60: [QUAD][6] */
    const int32_t *channel;  /* 64 */
    const uint32_t *plane;   /* 68 */
    int8_t *out;             /* 72 */
    int32_t zero;            /* 76: twice that of the output, and one */
    int32_t channels;        /* 80: that are left */
} walk;

/* clang-format off */
/* Two sums scaled and rounded by the multiplier in r10 and the offset in r11. */
#ifdef KB_TWICE
#define ONE_SCALED(sum) "add.w r2, r11, " sum ", asr #31\n smmlar " sum ", " sum ", r10, r2\n"
#else
#define ONE_SCALED(sum) "smmla " sum ", " sum ", r10, r11\n"
#endif
#define SCALE(a, b) ONE_SCALED(a) ONE_SCALED(b)
#define CUT(a, b) "asr.w " a ", " a ", r2\n asr.w " b ", " b ", r2\n ssat " a ", #8, " a "\n ssat " b ", #8, " b "\n"
#define STORE(a, b) "strb.w " b ", [r10, r11]\n strb.w " a ", [r10]\n"

/* The words of a row of two windows one apart, which begin at r0, and what they add to the sums a and b with weights
   (w0, w1) in `low` and (w1, w2) in `high`; b begins with `begin`. */
#define LOAD_1(step) "ldr.w r11, [r0, r2]\n ldr.w r10, [r0], #" step "\n"
#define ADD_1(a, b, begin, low, high)                                                                                 \
    "smlad " b ", r11, " high ", " begin "\n smlad " a ", r10, " low ", " a "\n"                                      \
    "smlabt " a ", r11, " high ", " a "\n smlatb " b ", r10, " low ", " b "\n"
#define FIRST_1(a, b, begin) ADD_1(a, b, begin, "r4", "r7")
#define SECOND_1(a, b) ADD_1(a, b, b, "r5", "r8")
#define THIRD_1(a, b) ADD_1(a, b, b, "r6", "r9")
/* The same of windows two apart; w2 of the rows is in the halves of r7 and the upper one of r8. */
#define LOAD_2(step) "ldr.w r9, [r0, r2, lsl #1]\n ldr.w r11, [r0, r2]\n ldr.w r10, [r0], #" step "\n"
#define ADD_2(a, b, begin, low, half, last)                                                                           \
    "smlad " b ", r11, " low ", " begin "\n smlad " a ", r10, " low ", " a "\n"                                       \
    "smlab" half " " a ", r11, " last ", " a "\n smlab" half " " b ", r9, " last ", " b "\n"
#define FIRST_2(a, b, begin) ADD_2(a, b, begin, "r4", "b", "r7")
#define SECOND_2(a, b) ADD_2(a, b, b, "r5", "t", "r7")
#define THIRD_2(a, b) ADD_2(a, b, b, "r6", "t", "r8")

#define BIAS(sum) "ldr.w " sum ", [sp]\n"
/* The sums of two outputs in r1 and r3 and the two below in r12 and lr: the windows have two rows in common, or one. */
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

/* The channels; the columns of two outputs; the blocks of two by two. Of the one output of a last column, the second is
   written to the same place before. From the stack pointer on: bias, multiplier, offset, shift; the output, from it to the
   second one, where the blocks of the column end, and the outputs along that are left. */
#define COLUMNS(REPACK, SUMS, ...)                                                                                    \
    __asm__("push {r4-r11, lr}\n ldm.w r0, {r1-r12, lr}\n push.w {r1-r12, lr}\n sub sp, #32\n"                        \
            "1: ldr r0, [sp, #60]\n ldr r1, [sp, #64]\n ldr r3, [sp, #76]\n"                                          \
            "ldm r0!, {r4-r9}\n ldm r1!, {r10-r12}\n str r0, [sp, #60]\n str r1, [sp, #64]\n" REPACK                  \
            "uxtb.w lr, r12\n sub.w r12, lr, #1\n lsl.w r12, r3, r12\n stm.w sp, {r10-r12, lr}\n"                     \
            "ldr r0, [sp, #68]\n ldr.w r10, [sp, #72]\n ldr r3, [sp, #48]\n ldr.w r12, [sp, #40]\n"                   \
            "ldr.w lr, [sp, #52]\n add.w r1, r0, #4\n add.w r2, r10, #1\n str r1, [sp, #68]\n str r2, [sp, #72]\n"    \
            "add.w r3, r3, r10\n"                                                                                     \
            "2: cmp.w lr, #1\n it eq\n moveq r12, #0\n"                                                               \
            "str r3, [sp, #24]\n str.w r12, [sp, #20]\n str.w lr, [sp, #28]\n ldr r2, [sp, #36]\n"                    \
            "str.w r10, [sp, #16]\n cmp r10, r3\n beq.w 4f\n"                                                         \
            ".balign 4\n"                                                                                             \
            "3: " SUMS "ldr.w r10, [sp, #4]\n ldr.w r11, [sp, #8]\n" SCALE("r1", "r3") SCALE("r12", "lr")             \
            "ldr.w r2, [sp, #12]\n" CUT("r1", "r3") CUT("r12", "lr")                                                  \
            "ldr.w r11, [sp, #20]\n ldr.w r10, [sp, #16]\n ldr.w r2, [sp, #32]\n" STORE("r1", "r3")                   \
            "add.w r10, r10, r2\n ldr.w r3, [sp, #24]\n" STORE("r12", "lr")                                           \
            "add.w r10, r10, r2\n ldr.w r2, [sp, #36]\n str.w r10, [sp, #16]\n cmp.w r10, r3\n bne.w 3b\n"            \
            "4: ldr r1, [sp, #44]\n cmp r1, #0\n beq.w 5f\n"                                                          \
            ".balign 4\n" PAIR(__VA_ARGS__)                                                                           \
            "ldr.w r10, [sp, #4]\n ldr.w r11, [sp, #8]\n" SCALE("r1", "r3") "ldr.w r2, [sp, #12]\n"                   \
            "ldr.w r11, [sp, #20]\n ldr.w r10, [sp, #16]\n" CUT("r1", "r3") STORE("r1", "r3")                         \
            "5: ldr.w lr, [sp, #28]\n ldr.w r12, [sp, #40]\n ldr r1, [sp, #56]\n ldr r3, [sp, #24]\n ldr r2, [sp, #48]\n" \
            "add r0, r1\n add.w r3, r3, r12, lsl #1\n sub.w r10, r3, r2\n subs.w lr, lr, #2\n bgt.w 2b\n"             \
            "ldr r1, [sp, #80]\n subs r1, #1\n str r1, [sp, #80]\n bne.w 1b\n"                                        \
            "add sp, #84\n pop {r4-r11, pc}\n")

/* All outputs of four channels. */
KB_APART __attribute__((naked)) void columns(const walk *w)
{
    COLUMNS("", SUMS_1, LOAD_1, FIRST_1, SECOND_1, THIRD_1);
}

KB_APART __attribute__((naked)) void columns_2(const walk *w)
{
    COLUMNS("pkhtb r7, r8, r7, asr #16\n mov r8, r9\n", SUMS_2, LOAD_2, FIRST_2, SECOND_2, THIRD_2);
}
/* clang-format on */

/* The weights of four channels, [QUAD][2][rows]: of every row (w0, w1) and (w1, w2). */
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
    const int32_t rows = across->to - across->from, next = 4 * QUAD * across->extent;
    const int32_t *const channel = t->p->channel + 3 * c;
    uint32_t weights[QUAD * 6], *own = weights;
    pair_weights(t, t->p->weight + c, weights);
    KB_NO_UNROLL
    for (int32_t j = 0; j < QUAD; j++, own += 6) {
        const int32_t left = channel[3 * j + 2] >> 8;
        KB_NO_UNROLL
        for (int32_t i = 0; left && i < 6; i++)
            own[i] = kb_shift16(own[i], left);
    }
    const walk w = {across->out,
                    next,
                    along->out,
                    rows % 2,
                    rows / 2 * 2 * across->out,
                    along->to - along->from,
                    along->stride * (next - rows / 2 * 2 * 4 * QUAD),
                    weights,
                    channel,
                    t->planes,
                    t->out + c,
                    2 * t->p->out_zero + 1,
                    QUAD};
    KB_STORED(&w);
    if (along->stride == 1)
        columns(&w);
    else
        columns_2(&w);
}

#define CONVOLVE(in, out, scratch, p, r) by_tiles(in, out, scratch, p, r)
#else
#include "depthwise_conv2d_s8.h"

#define CONVOLVE(in, out, scratch, p, r) convolve_copies(in, out, scratch, p, r)
#endif

#endif
