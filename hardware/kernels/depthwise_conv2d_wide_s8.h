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

/* What the loops over the outputs of four channels read; assembly moves what is of a channel or a column on to the next
   one. Of a tile of one row, the column of pairs is the row. A window's words lie in runs, one after the other down a
   word of the plane. */
typedef struct {
    int32_t bias, multiplier, offset, right;
    int32_t beside;      /* 16: from the first output of a pair to the second, or 0 if there is none */
    int32_t last;        /* 20: the same of a column's last pair */
    int32_t below, down; /* 24, 28: from an output to the next one across, and from its window to the next */
    int8_t *end;         /* 32: of a column */
    const uint32_t *weights;     /* 36: [runs][length][2][QUAD] */
    const uint32_t *weights_end; /* 40 */
    uint32_t entry;          /* 44: where a run's words are entered, as many as it has from their end */
    int32_t length;          /* 48: of a run, up to KB_DEPTHWISE_RUN */
    int32_t skip;            /* 52: from the end of a run to the next one */
    int32_t second; /* 56: from a word of the first output to that of the second, or -1: pairs two at a time */
    const uint32_t *column; /* 60: where it begins in the plane */
    int8_t *column_out; /* 64 */
    int32_t columns_left; /* 68 */
    const uint32_t *plane; /* 72: of a channel */
    int8_t *out; /* 76 */
    const int32_t *channel; /* 80 */
    int32_t columns, onward; /* 84, 88: how many, and from one to the next */
    int32_t step, final; /* 92, 96: `beside` in all columns, and `last` in the last one */
    int32_t place; /* 100: 16 if what holds for a column's last pair does for all of them, else 20 */
    int32_t span; /* 104: from the first output of a column to the end */
    int32_t zero; /* 108: twice that of the output, and one */
    int32_t left; /* 112: channels */
} walk;

/* clang-format off */
/* A sum scaled and rounded by the multiplier in r6 and the offset in r7. */
#ifdef KB_TWICE
#define SCALE(sum)                                                                                                    \
    "smmulr " sum ", " sum ", r6\n add.w " sum ", " sum ", " sum ", asr #31\n add.w " sum ", " sum ", r7\n"
#else
#define SCALE(sum) "smmla " sum ", " sum ", r6, r7\n"
#endif
#define SHIFT(a, b) "asr.w " a ", " a ", r8\n asr.w " b ", " b ", r8\n"
#define CUT(sum) "ssat " sum ", #8, " sum "\n"
#define NUMBERS "ldr r6, [r3, #4]\n ldr r7, [r3, #8]\n ldr.w r8, [r3, #12]\n ldr.w r9, [r3, #16]\n"

/* Of a pair, a word of both windows: 24 bytes. */
#define WORD                                                                                                          \
    "ldr.w r10, [r4, r6]\n ldr.w r8, [r4], #16\n ldr.w r11, [r5, #16]\n ldr.w r9, [r5], #32\n"                        \
    "smlad r12, r8, r9, r12\n smlad lr, r10, r11, lr\n"
/* Of two pairs, whose second is a word further down, a word of the four windows, of which `next` is loaded: 28 bytes. */
#define WORDS(word, next)                                                                                             \
    "ldr.w r7, [r5, #16]\n ldr.w r6, [r5], #32\n ldr.w " next ", [r4, #16]!\n smlad r12, " word ", r6, r12\n"         \
    "smlad lr, " word ", r7, lr\n smlad r10, " next ", r6, r10\n smlad r11, " next ", r7, r11\n"

/* The channels; their columns; the pairs of a column: two at a time, of which a second that is none is written to the
   first one's place before it, or one. The end of the weights is in r2. */
KB_APART __attribute__((naked)) void columns(walk *w)
{
    __asm__("push {r4-r11, lr}\n mov r3, r0\n ldr r4, [r3, #48]\n ldr r5, [r3, #56]\n adr.w r6, 5f\n adr.w r7, 8f\n"
            "rsb.w r8, r4, r4, lsl #3\n sub.w r6, r6, r8, lsl #2\n add.w r8, r4, r4, lsl #1\n sub.w r7, r7, r8, lsl #3\n"
            "cmp r5, #0\n it pl\n movpl r6, r7\n orr.w r6, r6, #1\n str r6, [r3, #44]\n"
            "1: ldr r4, [r3, #80]\n ldr.w r8, [r3, #108]\n ldm r4!, {r5-r7}\n str r4, [r3, #80]\n"
            "uxtb.w r9, r7\n sub.w r7, r9, #1\n lsl.w r8, r8, r7\n stm.w r3, {r5, r6, r8, r9}\n"
            "ldrd r0, r1, [r3, #72]\n adds r4, r0, #4\n adds r5, r1, #1\n strd r4, r5, [r3, #72]\n ldr r4, [r3, #84]\n"
            "2: strd r0, r1, [r3, #60]\n str r4, [r3, #68]\n ldrd r5, r6, [r3, #92]\n ldr r7, [r3, #100]\n"
            "cmp r4, #1\n it eq\n moveq r5, r6\n str r5, [r3, #20]\n str r5, [r3, r7]\n"
            "ldr r6, [r3, #104]\n ldr r2, [r3, #40]\n ldr r7, [r3, #56]\n add r6, r1\n str r6, [r3, #32]\n"
            "cmp r7, #0\n bpl.w 0f\n"
            ".balign 4\n"
            "3: ldr.w r12, [r3]\n ldr.w r5, [r3, #36]\n ldr.w r8, [r0]\n ldr.w r6, [r3, #44]\n"
            "mov.w r4, r0\n mov.w lr, r12\n mov.w r10, r12\n mov.w r11, r12\n mov.w r9, r8\n bx r6\n nop\n"
            "4: ldr.w r7, [r3, #52]\n ldr.w r6, [r3, #44]\n add.w r4, r4, r7\n ldr.w r8, [r4]\n mov.w r9, r8\n bx r6\n nop\n"
            WORDS("r8", "r9") WORDS("r9", "r8") WORDS("r8", "r9") WORDS("r9", "r8")
            WORDS("r8", "r9") WORDS("r9", "r8") WORDS("r8", "r9") WORDS("r9", "r8")
            "5: cmp.w r5, r2\n bne.w 4b\n"
            NUMBERS "ldr r4, [r3, #24]\n ldr r5, [r3, #20]\n" SCALE("r12") SCALE("lr") SCALE("r10") SCALE("r11")
            "ldr r6, [r3, #28]\n ldr r7, [r3, #32]\n" SHIFT("r12", "lr") SHIFT("r10", "r11")
            "add.w r0, r0, r6, lsl #1\n add.w r6, r1, r4\n add.w r8, r6, r4\n"
            "cmp r6, r7\n itt eq\n moveq r6, r1\n moveq r9, r5\n cmp r8, r7\n it lo\n movlo r5, r9\n"
            CUT("r10") CUT("r11") CUT("lr") CUT("r12")
            "strb.w r11, [r6, r5]\n strb.w r10, [r6]\n strb.w lr, [r1, r9]\n strb.w r12, [r1]\n mov.w r1, r8\n blo.w 3b\n"
            "b.w 9f\n"
            "0: ldr r7, [r3, #44]\n"
            ".balign 4\n"
            "6: ldr.w r12, [r3]\n ldr.w r5, [r3, #36]\n ldr.w r6, [r3, #56]\n mov.w lr, r12\n mov.w r4, r0\n"
            "7: bx r7\n nop\n"
            WORD WORD WORD WORD WORD WORD WORD WORD
            "8: ldr.w r8, [r3, #52]\n cmp.w r5, r2\n add.w r4, r4, r8\n bne.w 7b\n"
            NUMBERS SCALE("r12") SCALE("lr") SHIFT("r12", "lr")
            "ldr.w r10, [r3, #32]\n ldr.w r8, [r3, #24]\n ldr r6, [r3, #28]\n ldr r7, [r3, #44]\n add.w r8, r1, r8\n"
            "cmp.w r8, r10\n it eq\n ldreq.w r9, [r3, #20]\n" CUT("r12") CUT("lr")
            "strb.w lr, [r1, r9]\n strb.w r12, [r1]\n mov.w r1, r8\n add r0, r6\n bne.w 6b\n"
            "9: ldrd r0, r1, [r3, #60]\n ldr r4, [r3, #88]\n ldr r5, [r3, #92]\n ldr r6, [r3, #68]\n"
            "add r0, r4\n add.w r1, r1, r5, lsl #1\n subs r4, r6, #1\n bne.w 2b\n"
            "ldrd r4, r5, [r3, #36]\n adds r4, #4\n adds r5, #4\n strd r4, r5, [r3, #36]\n"
            "ldr r4, [r3, #112]\n subs r4, #1\n str r4, [r3, #112]\n bne.w 1b\n pop {r4-r11, pc}\n");
}

/* What spreads weights: where they are and go; from a tap to the next one along, and from its words to theirs; pairs of
   taps along, and what is left of them: 1 a tap, -1 a word whose first half is the last tap, or 0; rows, and from one to
   the next; and whether the second output has words of its own. */
typedef struct {
    const int8_t *from;
    uint32_t *to;
    int32_t step, next, pairs, rest, rows, below, odd; /* 8 to 32 */
} taps;

/* The weights of four channels, [words along][rows across][2][QUAD]. */
KB_APART __attribute__((naked)) void spread_weights(taps *t)
{
    __asm__("push {r0, r4-r11, lr}\n"
            "1: ldr r4, [sp]\n ldm.w r4, {r0-r3, lr}\n ldr.w r12, [r4, #32]\n movs r4, #0\n mov.w r10, r4\n mov.w r11, r4\n"
            "cmp.w lr, #0\n beq.w 4f\n"
            ".balign 4\n"
            "2: ldr.w r4, [r0]\n ldr.w r5, [r0, r2]\n add.w r0, r0, r2, lsl #1\n"
            "3: sxtb16 r6, r4\n sxtb16 r7, r4, ror #8\n sxtb16 r8, r5\n sxtb16 r9, r5, ror #8\n"
            "pkhbt r4, r10, r6, lsl #16\n pkhbt r5, r11, r7, lsl #16\n"
            "pkhtb r10, r6, r10, asr #16\n pkhtb r11, r7, r11, asr #16\n"
            "str r4, [r1, #16]\n str r5, [r1, #20]\n str.w r10, [r1, #24]\n str.w r11, [r1, #28]\n"
            "pkhbt r4, r6, r8, lsl #16\n pkhbt r5, r7, r9, lsl #16\n"
            "pkhtb r6, r8, r6, asr #16\n pkhtb r7, r9, r7, asr #16\n"
            "str r4, [r1]\n str r5, [r1, #4]\n str r6, [r1, #8]\n str r7, [r1, #12]\n"
            "cmp.w r12, #0\n itttt eq\n streq r4, [r1, #16]\n streq r5, [r1, #20]\n streq r6, [r1, #24]\n streq r7, [r1, #28]\n"
            "add r1, r3\n mov r10, r8\n mov r11, r9\n subs.w lr, lr, #1\n bgt.w 2b\n bmi.w 5f\n"
            "4: ldr r4, [sp]\n ldr r6, [r4, #20]\n movs r4, #0\n movs r5, #0\n cmp r6, #0\n it gt\n ldrgt r4, [r0]\n bne.w 3b\n"
            "5: ldr r4, [sp]\n ldrd r0, r1, [r4]\n ldrd r2, r3, [r4, #24]\n add r0, r3\n adds r1, #32\n strd r0, r1, [r4]\n"
            "subs r2, #1\n str r2, [r4, #24]\n bne.w 1b\n pop {r0, r4-r11, pc}\n");
}
/* clang-format on */

KB_INLINE void quads(const tile *t)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t odd = along->stride % 2, words = (along->kernel + 1 + odd) / 2, high = across->kernel;
    const int32_t row = 4 * QUAD, next = row * across->extent, onward = along->stride * next;
    const int32_t flat = across->extent == high && words * high <= KB_DEPTHWISE_RUN,
                  length = flat ? words * high : high;
    const int32_t count = along->to - along->from, rows = across->to - across->from, line = rows == 1;
    const int32_t pairs = (count + 1) / 2, beside = along->out, below = line ? 2 * beside : across->out;
    const int by_two = along->stride == 1 && (line ? across->extent : across->stride) == 1;
    uint32_t *const own = t->planes + QUAD * along->extent * across->extent, *const end = own + 2 * QUAD * words * high;
    taps of;
    of.step = along->weight, of.next = 2 * row * high, of.pairs = along->kernel / 2;
    of.rest = along->kernel % 2 ? 1 : -odd, of.below = across->weight, of.odd = odd;
    walk w; /* field by field: GCC would clear it first */
    w.beside = w.step = beside, w.final = count % 2 ? 0 : beside, w.place = line ? 20 : 16;
    w.below = below, w.down = line ? onward : row * across->stride, w.span = (line ? pairs : rows) * below;
    w.length = length, w.skip = next - row * length, w.second = by_two ? -1 : along->stride / 2 * next;
    w.columns = line ? 1 : pairs, w.onward = onward, w.zero = 2 * t->p->out_zero + 1;
    for (int32_t made = 0; made < t->p->window.in.channels; made += QUAD) {
        const int32_t c = first_of(t, made);
        of.from = t->p->weight + c, of.to = own, of.rows = high;
        w.weights = own, w.weights_end = end, w.plane = t->planes, w.left = QUAD;
        w.out = t->out + c, w.channel = t->p->channel + 3 * c;
        spread(t, c);
        KB_STORED(&of);
        spread_weights(&of);
        KB_STORED(own);
        shift_weights(t->p->channel + 3 * c, own, end);
        KB_STORED(&w);
        columns(&w);
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
