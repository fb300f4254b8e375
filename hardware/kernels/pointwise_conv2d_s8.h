/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of which every pixel is made of one, by whose kernels it is included: with KB_TWICE before, results
   are rounded twice. The weights are those of conv2d_s8.h, which makes what is left. On cores with the DSP extension
   the words of two neighbouring pixels take turns in scratch, so that four loads in a row feed sixteen products; four
   channels of all pixels in scratch are made before the next ones. */
#ifndef KB_POINTWISE_CONV2D_S8_H
#define KB_POINTWISE_CONV2D_S8_H

#include "kb_dsp.h"
#include "kb_inline.h"

#ifdef KB_TWICE
#define REST kb_tflite_conv2d_s8
#else
#define REST kb_conv2d_s8
#endif

#ifdef __ARM_FEATURE_DSP

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
/* Two taps of two pixels with both pairs of channels: 56 bytes. Sums of s begin with those of b: of the first step with
   the channels' bias, which is in r4 and r8. */
#define STEP(s0, s1, b1, s2, s3, b3)                                                                                  \
    "ldr.w r12, [r0], #8\n ldr lr, [r0, #-4]\n ldr.w r1, [r2], #8\n ldr r3, [r2, #-4]\n"                              \
    "smlad r6, r1, r12, " s0 "\n smlad r7, r1, lr, " s1 "\n smlad r10, r3, r12, " s2 "\n smlad r11, r3, lr, " s3 "\n" \
    "sxtb16 r1, r1\n sxtb16 r3, r3\n"                                                                                 \
    "smlad r5, r1, lr, " b1 "\n smlad r4, r1, r12, r4\n smlad r9, r3, lr, " b3 "\n smlad r8, r3, r12, r8\n"
#define FIRST_STEP STEP("r4", "r4", "r4", "r8", "r8", "r8")
#define NEXT_STEP STEP("r6", "r7", "r5", "r10", "r11", "r9")
#define FOUR_STEPS NEXT_STEP NEXT_STEP NEXT_STEP NEXT_STEP

/* The outputs of a channel and two pixels from the sums a and b, by the numbers that are at r12. */
#ifdef KB_TWICE
#define BIAS "movs r4, #0\n mov.w r8, r4\n"
#define SCALE(x) "smmlar lr, " x ", r1, r2\n add.w " x ", lr, " x ", asr #31\n"
#define WITH_BIAS(a, b, bias)                                                                                         \
    "ldr.w lr, [r12, #" bias "]\n add.w " a ", lr, " a ", lsl #1\n add.w " b ", lr, " b ", lsl #1\n"
#define SECOND "#7"
#else
#define BIAS "ldr.w r12, [sp, #56]\n ldr.w r4, [r12]\n ldr.w r8, [r12, #32]\n"
#define SCALE(x) "smmla " x ", " x ", r1, r2\n"
#define WITH_BIAS(a, b, bias)
#define SECOND "#8"
#endif
#define NUMBERS(multiplier, offset, shift)                                                                            \
    "ldr.w r1, [r12, #" multiplier "]\n ldr.w r2, [r12, #" offset "]\n ldr.w r3, [r12, #" shift "]\n"
#define FINISH(a, b) SCALE(a) SCALE(b) "asr.w " a ", " a ", r3\n asr.w " b ", " b ", r3\n"
/* Of the second channel of a pair, whose sums are 256 times too large. */
#define FINISH_SECOND(a, b, bias, multiplier, offset, shift)                                                          \
    "ldr.w lr, [r12, #" bias "]\n" NUMBERS(multiplier, offset, shift)                                                 \
    "add.w " a ", lr, " a ", asr " SECOND "\n add.w " b ", lr, " b ", asr " SECOND "\n" FINISH(a, b)
/* Four outputs in a word; SEL takes bytes 1 and 3 of what it has first. */
#define PACK(a, b, c, d)                                                                                              \
    "pkhbt " a ", " a ", " c ", lsl #16\n pkhbt " b ", " b ", " d ", lsl #16\n ssat16 " b ", #8, " b "\n"             \
    "ssat16 " a ", #8, " a "\n lsl.w " b ", " b ", #8\n sel " a ", " b ", " a "\n"

/* Four channels, whose numbers and weights are given, of all pixels from x to the end, two at a time; `next` is from
   an output to that of the next pixel. The first turn of the loop of sixteen steps is entered where what is left over
   begins. */
KB_APART __attribute__((naked)) void quad(const int16_t *x, int8_t *out, int32_t next, const int16_t *x_end,
                                          const int32_t *channel, const int16_t *w, const int16_t *w_end)
{
    __asm__("push {r0-r11, lr}\n sub sp, #4\n ldrd r2, r3, [sp, #60]\n" /* channel, w, w_end are at 56, 60, 64 */
            "sub.w r3, r2, r3\n asrs r3, r3, #3\n adds r3, #1\n and r3, r3, #15\n rsb r3, r3, r3, lsl #3\n"
            "adr r12, 2f\n add.w r12, r12, r3, lsl #3\n orr r12, r12, #1\n str r12, [sp]\n"
            "mov r1, #0x00FF00FF\n movs r2, #0\n ssub8 r1, r1, r2\n" /* for SEL */
            ".balign 4\n"
            "1: ldr.w r2, [sp, #60]\n" BIAS FIRST_STEP "ldr.w r1, [sp]\n bx r1\n"
            ".balign 4\n"
            "2:\n" FOUR_STEPS FOUR_STEPS FOUR_STEPS FOUR_STEPS
            "ldr.w r3, [sp, #64]\n cmp.w r2, r3\n bne.w 2b\n"
            "ldr.w r12, [sp, #56]\n sub.w r6, r6, r4\n sub.w r7, r7, r5\n sub.w r10, r10, r8\n sub.w r11, r11, r9\n"
            WITH_BIAS("r4", "r5", "0") NUMBERS("4", "8", "12") FINISH("r4", "r5")
            FINISH_SECOND("r6", "r7", "16", "20", "24", "28")
            WITH_BIAS("r8", "r9", "32") NUMBERS("36", "40", "44") FINISH("r8", "r9")
            FINISH_SECOND("r10", "r11", "48", "52", "56", "60")
            "ldr.w r1, [sp, #8]\n ldr.w r2, [sp, #12]\n ldr.w r3, [sp, #16]\n"
            PACK("r4", "r6", "r8", "r10") PACK("r5", "r7", "r9", "r11")
            "str.w r5, [r1, r2]\n str.w r4, [r1]\n add.w r1, r1, r2, lsl #1\n str.w r1, [sp, #8]\n"
            "cmp.w r0, r3\n bne.w 1b\n add sp, #20\n pop {r4-r11, pc}\n");
}
/* clang-format on */

/* Pairs of pixels, whose `channels` are a multiple of four, to 16 bits: a word of one, a word of the other. */
KB_APART void spread(uint32_t *to, const int8_t *from, int32_t channels, int32_t pairs)
{
    KB_NO_UNROLL
    for (; pairs > 0; pairs--, from += channels) {
        const int8_t *const end = from + channels;
        uint32_t a, b, c, d, e;
        __asm__ volatile(
            ".balign 4\n"
            "1: ldr.w %[b], [%[from], %[next]]\n ldr.w %[a], [%[from]], #4\n"
            "sxtb16 %[d], %[b]\n sxtb16 %[b], %[b], ror #8\n"
            "sxtb16 %[c], %[a]\n sxtb16 %[a], %[a], ror #8\n cmp.w %[from], %[end]\n"
            "pkhtb %[e], %[b], %[d], asr #16\n pkhbt %[b], %[d], %[b], lsl #16\n"
            "pkhtb %[d], %[a], %[c], asr #16\n pkhbt %[a], %[c], %[a], lsl #16\n"
            "str.w %[e], [%[to], #12]\n str.w %[d], [%[to], #8]\n str.w %[b], [%[to], #4]\n"
            "str.w %[a], [%[to]], #16\n bne.w 1b\n"
            : [from] "+r"(from), [to] "+r"(to), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e)
            : [next] "r"(channels), [end] "r"(end)
            : "memory", "cc");
    }
}

/* `count` outputs that are to be `low` at least. */
KB_INLINE void clamp(int8_t *out, int32_t count, int32_t low)
{
    const uint32_t lows = ((uint32_t)low & 0xFF) * 0x01010101;
    for (int8_t *const end = out + count; out < end; out += 4) {
        const uint32_t larger = kb_max4(kb_load4(out), lows);
        __builtin_memcpy(out, &larger, 4);
    }
}

/* `count` pixels, of which all pairs are made. */
KB_APART void row(const int8_t *in, int8_t *out, int16_t *scratch, const kb_conv2d_s8_params *p, int32_t count)
{
    const int32_t channels = p->taps, made = p->window.out.channels;
    for (; count > 1; count -= p->block, in += p->block * channels, out += p->block * made) {
        const int32_t pixels = kb_min(count, p->block) & ~1;
        const int16_t *w = p->weight, *const x_end = scratch + pixels * channels;
        spread((uint32_t *)scratch, in, channels, pixels / 2);
        KB_STORED(scratch);
        for (int32_t o = 0; o < made; o += 4, w += 2 * channels)
            quad(scratch, out + o, made, x_end, p->channel + 4 * o, w, w + 2 * channels);
        if (p->low > -128)
            clamp(out, pixels * made, p->low);
    }
}

KB_INLINE void convolve(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, const kb_region *r)
{
    const kb_shape map = p->window.in;
    const int32_t made = p->window.out.channels;
    int32_t count = r->x_end - r->x, rows = r->y_end - r->y;
    if (count == map.width)
        count *= rows, rows = 1;
    for (int32_t y = r->y; y < r->y + rows; y++) {
        const int32_t first = y * map.width + r->x;
        row(in + first * map.channels, out + first * made, scratch, p, count);
        if (count % 2) {
            const int32_t last = first + count - 1, last_y = last / map.width, last_x = last - last_y * map.width;
            const kb_region one = {last_y, last_y + 1, last_x, last_x + 1};
            REST(in, out, scratch, p, &one);
        }
    }
}
#else
#define convolve REST
#endif

#endif
