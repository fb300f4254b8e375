/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of many taps, by whose kernels it is included: with KB_TWICE before, results
   are rounded twice. A pair of outputs at a time, each of which has its own words of weights: where the stride is odd,
   those of the second begin with a half that is 0. Armv6-M has its own (depthwise_conv2d_wide_s8_v6m.h); other cores
   without the DSP extension make it as any other (depthwise_conv2d_s8.h). */
#ifndef KB_DEPTHWISE_CONV2D_WIDE_S8_H
#define KB_DEPTHWISE_CONV2D_WIDE_S8_H

#ifdef __ARM_FEATURE_DSP
#define PITCH(across) (across)->extent
#include "depthwise_planes.h"

/* What the loops over the outputs of a channel read, each at four times its place. Of a tile of one row, the column of
   pairs is the row. A window's words lie in runs, one after the other down a word of the plane. */
typedef struct {
    int32_t bias, multiplier, offset, right;
    int32_t beside;      /* 16: from the first output of a pair to the second, or 0 if there is none */
    int32_t below, down; /* 20, 24: from an output to the next one across, and from its window to the next */
    int8_t *end;         /* 28: of a column */
    const uint32_t *plane; /* 32 */
    int8_t *out;           /* 36 */
    const uint32_t *weights;     /* 40: [runs][length][2] */
    const uint32_t *weights_end; /* 44 */
    int32_t length; /* 48: of a run, up to KB_DEPTHWISE_RUN */
    int32_t skip;   /* 52: from the end of a run to the next one */
    int32_t second; /* 56: from a word of the first output to that of the second */
    int8_t *twos;   /* 60: up to where pairs are made two at a time */
    int32_t last;   /* 64: `beside` of a column's last pair */
} walk;

/* clang-format off */
/* A sum scaled and rounded by the multiplier in r6 and the offset in r7. */
#ifdef KB_TWICE
#define SCALE(sum)                                                                                                    \
    "smmulr " sum ", " sum ", r6\n add.w " sum ", " sum ", " sum ", asr #31\n add.w " sum ", " sum ", r7\n"
#else
#define SCALE(sum) "smmla " sum ", " sum ", r6, r7\n"
#endif
#define CUT(a, b) "asr.w " a ", " a ", r8\n asr.w " b ", " b ", r8\n ssat " a ", #8, " a "\n ssat " b ", #8, " b "\n"
#define STORE(a, b) "strb.w " b ", [r1, r9]\n strb.w " a ", [r1]\n"
#define NUMBERS "ldr r6, [r3, #4]\n ldr r7, [r3, #8]\n ldr.w r8, [r3, #12]\n ldr.w r9, [r3, #16]\n"

/* Of a pair, a word of both windows: 24 bytes. */
#define WORD                                                                                                          \
    "ldr.w r10, [r4, r6]\n ldr.w r8, [r4], #16\n ldr.w r11, [r5, #4]\n ldr.w r9, [r5], #8\n"                          \
    "smlad r12, r8, r9, r12\n smlad lr, r10, r11, lr\n"
/* Of two pairs, whose second is a word further down, a word of the four windows, of which `next` is loaded: 28 bytes. */
#define WORDS(word, next)                                                                                             \
    "ldr.w r7, [r5, #4]\n ldr.w r6, [r5], #8\n ldr.w " next ", [r4, #16]!\n smlad r12, " word ", r6, r12\n"           \
    "smlad lr, " word ", r7, lr\n smlad r10, " next ", r6, r10\n smlad r11, " next ", r7, r11\n"

/* A column of pairs of a channel: two at a time, then one. The first run is entered where as many words are left as it
   has. */
KB_APART __attribute__((naked)) void column(const walk *w)
{
    __asm__("push {r4-r11, lr}\n mov r3, r0\n ldr r0, [r3, #32]\n ldr r1, [r3, #36]\n ldr r6, [r3, #60]\n"
            "cmp r1, r6\n beq.w 4f\n"
            "ldr r4, [r3, #48]\n rsb.w r4, r4, r4, lsl #3\n adr r2, 3f\n sub.w r2, r2, r4, lsl #2\n orr r2, r2, #1\n"
            ".balign 4\n"
            "1: ldr.w r12, [r3]\n ldr.w r5, [r3, #40]\n mov.w r4, r0\n"
            "mov.w lr, r12\n mov.w r10, r12\n mov.w r11, r12\n"
            "2: ldr.w r8, [r4]\n mov.w r9, r8\n bx r2\n nop\n"
            WORDS("r8", "r9") WORDS("r9", "r8") WORDS("r8", "r9") WORDS("r9", "r8")
            WORDS("r8", "r9") WORDS("r9", "r8") WORDS("r8", "r9") WORDS("r9", "r8")
            "3: ldr.w r6, [r3, #44]\n ldr.w r7, [r3, #52]\n cmp.w r5, r6\n add.w r4, r4, r7\n bne.w 2b\n"
            NUMBERS "ldr r4, [r3, #20]\n ldr r5, [r3, #24]\n"
            SCALE("r12") SCALE("lr") SCALE("r10") SCALE("r11") CUT("r12", "lr") CUT("r10", "r11")
            STORE("r12", "lr") "add.w r1, r1, r4\n ldr r6, [r3, #60]\n" STORE("r10", "r11")
            "add.w r1, r1, r4\n add.w r0, r0, r5, lsl #1\n cmp r1, r6\n bne.w 1b\n"
            "4: ldr r6, [r3, #28]\n cmp r1, r6\n beq.w 8f\n"
            "ldr r2, [r3, #44]\n ldr r7, [r3, #48]\n add.w r7, r7, r7, lsl #1\n adr r8, 7f\n sub.w r7, r8, r7, lsl #3\n"
            "orr r7, r7, #1\n"
            ".balign 4\n"
            "5: ldr.w r12, [r3]\n ldr.w r5, [r3, #40]\n ldr.w r6, [r3, #56]\n mov.w lr, r12\n mov.w r4, r0\n"
            "6: bx r7\n nop\n"
            WORD WORD WORD WORD WORD WORD WORD WORD
            "7: ldr.w r8, [r3, #52]\n cmp.w r5, r2\n add.w r4, r4, r8\n bne.w 6b\n"
            "mov.w r4, r7\n" NUMBERS SCALE("r12") SCALE("lr") CUT("r12", "lr")
            "ldr.w r10, [r3, #28]\n ldr.w r8, [r3, #20]\n ldr.w r11, [r3, #24]\n add.w r8, r1, r8\n"
            "cmp.w r8, r10\n it eq\n ldreq.w r9, [r3, #64]\n" STORE("r12", "lr")
            "mov.w r1, r8\n mov.w r7, r4\n add.w r0, r0, r11\n bne.w 5b\n"
            "8: pop {r4-r11, pc}\n");
}
/* clang-format on */

/* Words of four channels, `plane` words apart, of neighbours in `a` and `b`. */
KB_INLINE void pair(uint32_t a_even, uint32_t a_odd, uint32_t b_even, uint32_t b_odd, int32_t plane, uint32_t *to)
{
    to[0] = (a_even & 0xFFFF) | b_even << 16;
    to[plane] = (a_odd & 0xFFFF) | b_odd << 16;
    to[2 * plane] = a_even >> 16 | (b_even & 0xFFFF0000);
    to[3 * plane] = a_odd >> 16 | (b_odd & 0xFFFF0000);
}

/* The weights of four channels, [QUAD][words along][rows across][2]. */
KB_APART void spread_weights(const tile *t, const int8_t *w, int32_t words, uint32_t *to)
{
    const int32_t rows = t->across.kernel, plane = 2 * words * rows, step = t->along.weight;
    const int odd = t->along.stride % 2;
    KB_NO_UNROLL
    for (int32_t row = 0; row < rows; row++, to += 2, w += t->across.weight) {
        uint32_t before_even = 0, before_odd = 0, *word = to;
        const int8_t *from = w;
        KB_NO_UNROLL
        for (int32_t left = t->along.kernel; word < to + plane; left -= 2, from += 2 * step, word += 2 * rows) {
            const uint32_t a = left > 0 ? kb_load4(from) : 0, b = left > 1 ? kb_load4(from + step) : 0;
            const uint32_t a_even = kb_sxtb16(a), a_odd = kb_sxtb16_odd(a);
            const uint32_t b_even = kb_sxtb16(b), b_odd = kb_sxtb16_odd(b);
            pair(a_even, a_odd, b_even, b_odd, plane, word);
            if (odd)
                pair(before_even, before_odd, a_even, a_odd, plane, word + 1);
            else
                pair(a_even, a_odd, b_even, b_odd, plane, word + 1);
            before_even = b_even, before_odd = b_odd;
        }
    }
}

KB_APART void quad(const tile *t, int32_t c)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t odd = along->stride % 2, words = (along->kernel + 1 + odd) / 2, taps = words * across->kernel;
    const int32_t next = 4 * QUAD * across->extent, flat = across->extent == across->kernel && taps <= KB_DEPTHWISE_RUN;
    const int32_t count = along->to - along->from, rows = across->to - across->from, line = rows == 1;
    const int32_t onward = along->stride * next, length = flat ? taps : across->kernel, columns = (count + 1) / 2;
    const int by_two = along->stride == 1 && (line ? across->extent : across->stride) == 1;
    const int32_t below = line ? 2 * along->out : across->out, beside = along->out, last = count % 2 ? 0 : beside;
    const int32_t span = (line ? columns : rows) * below, twos = by_two * ((line ? count / 2 : rows) & ~1) * below;
    const int32_t *channel = t->p->channel + 3 * c;
    uint32_t *own = t->planes + QUAD * along->extent * across->extent;
    walk w = {.below = below,
              .down = line ? onward : 4 * QUAD * across->stride,
              .length = length,
              .skip = next - 4 * QUAD * length,
              .second = along->stride / 2 * next};
    spread_weights(t, t->p->weight + c, words, own);
    KB_NO_UNROLL
    for (int32_t j = 0; j < QUAD; j++, own += 2 * taps, channel += 3) {
        const scaling s = scaling_of(channel, t->p->out_zero);
        KB_NO_UNROLL
        for (int32_t i = 0; s.left && i < 2 * taps; i++)
            own[i] = kb_shift16(own[i], s.left);
        w.bias = s.bias, w.multiplier = s.multiplier, w.offset = s.offset, w.right = s.right;
        w.weights = own, w.weights_end = own + 2 * taps;
        w.plane = t->planes + j, w.out = t->out + c + j;
        w.beside = beside, w.last = line ? last : beside;
        KB_NO_UNROLL
        for (int32_t left = line ? 1 : columns; left > 0; left--) {
            if (left == 1 && !line)
                w.beside = w.last = last;
            w.twos = w.out + twos, w.end = w.out + span;
            KB_STORED(&w);
            column(&w);
            w.plane += onward / 4, w.out += 2 * beside;
        }
    }
}

#define CONVOLVE(in, out, scratch, p, r) by_tiles(in, out, scratch, p, r)
#elif defined(__ARM_ARCH_6M__)
#include "depthwise_conv2d_wide_s8_v6m.h"
#else
#include "depthwise_conv2d_s8.h"

#define CONVOLVE(in, out, scratch, p, r) convolve_copies(in, out, scratch, p, r)
#endif

#endif
