/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on Armv6-M: rows of conv2d_s8.h, which includes this.

   Two multiplications make three products. Of three pixels the values a, b and c that a tap reads are two words,
   u = a + 2^21 * b and v = c + 2^11 * b, whose products with the weights are summed modulo 2^32. Over
   KB_CONV2D_S8_PIECE taps the sums A, B and C of the pixels are within 2^20, so that sum u = A + 2^21 * B gives A and
   the lower 11 bits of B, and what is left of sum v then C and the others. A pixel alone is made by the weights of two
   channels (conv2d_s8.h). */
#ifndef KB_CONV2D_S8_V6M_H
#define KB_CONV2D_S8_V6M_H

#include "kb_v6m.h"

#define KB_CONV2D_S8_PIECE 64

/* Outputs, not clamped, of sums; with two roundings twice the sum is scaled. */
#ifdef KB_TWICE
#define DOUBLE "adds r2, r2, r2\n"
#define VALUE(sum, channel, zero) KB_TWICE_BY_CHANNEL(2 * (sum) + (channel)[0], channel, zero)
#else
#define DOUBLE
#define VALUE(sum, channel, zero) KB_BY_CHANNEL((sum) + (channel)[0], channel, zero)
#endif

/* What sums of a piece of taps are made of: the values, the weights, of which those of a quad end `skip` bytes before
   those of the next begin, the sums, and the taps before them: if there are any, sums are added to what is there. */
typedef struct {
    int32_t *x, *x_end;     /* 0, 4 */
    const int16_t *w;       /* 8 */
    int32_t *sum, *sum_end; /* 12, 16 */
    int32_t skip, before;   /* 20, 24 */
} piece;

/* One or three pixels, the first of whose windows begins at (y, x) of a map of `width`. */
typedef struct {
    int32_t y, x, pixels, width;
} windows;

/* What outputs are made of: the sums, the numbers of their channels, and the output, whose pixels are `next` bytes. */
typedef struct {
    const int32_t *sum;
    const int32_t *channel, *channel_end; /* 4, 8 */
    int8_t *out;                          /* 12 */
    int32_t next, pixels;                 /* 16, 20 */
} results;

/* clang-format off */
#define ENTER "push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4-r7}\n"
#define LEAVE "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n"

/* Two taps of two channels; r7 holds what rounds the upper byte of a half. */
#define TWO_TAPS(offset)                                                                                              \
    "ldmia r0!, {r2, r3}\n ldr r4, [r1, #" offset "]\n"                                                               \
    "sxtb r5, r4\n mov r6, r5\n muls r6, r2, r6\n add r8, r6\n muls r5, r3, r5\n add r9, r5\n"                        \
    "lsls r5, r4, #16\n adds r5, r5, r7\n asrs r5, r5, #24\n"                                                         \
    "muls r2, r5, r2\n add r10, r2\n muls r3, r5, r3\n add r11, r3\n"                                                 \
    "ldmia r0!, {r2, r3}\n"                                                                                           \
    "asrs r5, r4, #16\n sxtb r5, r5\n mov r6, r5\n muls r6, r2, r6\n add r8, r6\n muls r5, r3, r5\n add r9, r5\n"     \
    "adds r4, r4, r7\n asrs r4, r4, #24\n"                                                                            \
    "muls r2, r4, r2\n add r10, r2\n muls r3, r4, r3\n add r11, r3\n"

/* The sums of a channel, from those of both words to r6. */
#define SUMS(u, v)                                                                                                    \
    "mov r4, " u "\n lsls r2, r4, #11\n asrs r2, r2, #11\n subs r4, r4, r2\n lsrs r4, r4, #21\n"                       \
    "mov r3, " v "\n lsls r5, r4, #11\n subs r3, r3, r5\n lsls r5, r3, #10\n asrs r5, r5, #10\n"                       \
    "subs r3, r3, r5\n asrs r3, r3, #22\n lsls r3, r3, #11\n adds r3, r3, r4\n"                                       \
    "ldr r4, [sp, #12]\n cmp r4, #0\n beq 3f\n ldr r4, [r6]\n adds r2, r2, r4\n ldr r4, [r6, #4]\n adds r3, r3, r4\n"  \
    "ldr r4, [r6, #8]\n adds r5, r5, r4\n 3: stmia r6!, {r2, r3, r5}\n"

/* The sums of three pixels, of all channels. On the stack: x, sum, sum_end, the taps before, and how far the pair after
   the next one is from the end of the weights of the next; lr has that of the next pair. */
KB_APART __attribute__((naked)) void three_pixels(const piece *p)
{
    __asm__(ENTER
            "ldmia r0!, {r2-r7}\n mov r12, r3\n mov r1, r4\n ldr r0, [r0]\n"
            "subs r3, r2, r3\n asrs r3, r3, #1\n adds r3, #4\n mov lr, r3\n subs r7, #4\n"
            "push {r7}\n push {r0}\n push {r2, r5, r6}\n movs r7, #128\n lsls r7, r7, #16\n"
            "1: ldr r0, [sp]\n movs r2, #0\n mov r8, r2\n mov r9, r2\n mov r10, r2\n mov r11, r2\n"
            ".balign 4\n"
            "2:\n" TWO_TAPS("0") TWO_TAPS("8") "adds r1, #16\n cmp r0, r12\n bne 2b\n"
            "ldr r6, [sp, #4]\n" SUMS("r8", "r9") SUMS("r10", "r11") "str r6, [sp, #4]\n"
            "add r1, lr\n ldr r0, [sp, #16]\n mov r2, lr\n mov lr, r0\n str r2, [sp, #16]\n"
            "ldr r0, [sp, #8]\n cmp r6, r0\n beq 4f\n b 1b\n"
            "4: add sp, #20\n" LEAVE);
}

/* A half word of weights in `pair`, which is destroyed, by the value in `x`. */
#define TAP(pair, x, both, first)                                                                                     \
    "mov r7, " pair "\n muls r7, " x ", r7\n add " both ", r7\n"                                                      \
    "sxtb " pair ", " pair "\n muls " pair ", " x ", " pair "\n add " first ", " pair "\n"
#define TAPS_OF(word, both, first)                                                                                    \
    "sxth r6, " word "\n" TAP("r6", "r2", both, first) "asrs " word ", " word ", #16\n" TAP(word, "r3", both, first)
#define APART(both, first)                                                                                            \
    "mov r2, " first "\n mov r3, " both "\n subs r3, r3, r2\n asrs r3, r3, #8\n"

/* The sums of one pixel, of all channels. On the stack: x, sum_end, skip, the taps before. */
KB_APART __attribute__((naked)) void one_pixel(const piece *p)
{
    __asm__(ENTER
            "ldmia r0!, {r2-r7}\n mov r12, r3\n mov r1, r4\n mov lr, r5\n ldr r0, [r0]\n push {r0}\n push {r7}\n"
            "push {r2, r6}\n"
            "1: ldr r0, [sp]\n movs r2, #0\n mov r8, r2\n mov r9, r2\n mov r10, r2\n mov r11, r2\n"
            ".balign 4\n"
            "2: ldmia r0!, {r2, r3}\n ldmia r1!, {r4, r5}\n" TAPS_OF("r4", "r8", "r9") TAPS_OF("r5", "r10", "r11")
            "cmp r0, r12\n bne 2b\n"
            APART("r10", "r11") "mov r4, r2\n mov r5, r3\n" APART("r8", "r9")
            "mov r6, lr\n ldr r0, [sp, #12]\n cmp r0, #0\n beq 3f\n"
            "ldr r0, [r6]\n adds r2, r2, r0\n ldr r0, [r6, #4]\n adds r3, r3, r0\n"
            "ldr r0, [r6, #8]\n adds r4, r4, r0\n ldr r0, [r6, #12]\n adds r5, r5, r0\n"
            "3: stmia r6!, {r2-r5}\n mov lr, r6\n ldr r0, [sp, #8]\n adds r1, r1, r0\n"
            "ldr r0, [sp, #4]\n cmp r6, r0\n bne 1b\n"
            "add sp, #16\n" LEAVE);
}

/* Outputs, of channels whose shifts are positive: the bias in r8, the offset in r10, the output in r11, `next` in r12,
   the end of the pixels in lr. */
KB_APART __attribute__((naked)) void finish_quick(const results *r)
{
    __asm__(ENTER
            "ldmia r0!, {r1-r6}\n mov r11, r4\n mov r12, r5\n muls r6, r5, r6\n adds r4, r4, r6\n mov lr, r4\n"
            "mov r0, r1\n mov r1, r2\n rsbs r6, r6, #0\n adds r6, #1\n push {r3, r6}\n"
            "1: ldmia r1!, {r2-r5}\n mov r8, r2\n mov r10, r4\n mov r6, r5\n"
            "sxth r4, r3\n mov r5, r3\n subs r5, r5, r4\n lsrs r5, r5, #16\n"
            "2: ldmia r0!, {r2}\n" DOUBLE "add r2, r8\n" OUTPUT("add r2, r10\n")
            "mov r7, r11\n strb r2, [r7]\n add r7, r12\n mov r11, r7\n cmp r7, lr\n blo 2b\n"
            "ldr r2, [sp, #4]\n add r11, r2\n ldr r2, [sp]\n cmp r1, r2\n bne 1b\n"
            "add sp, #8\n" LEAVE);
}
/* clang-format on */

/* The same whatever the shifts are. */
KB_RARE static void finish_slowly(const int32_t *sum, int8_t *out, int32_t pixels, const kb_conv2d_s8_params *p)
{
    const int32_t channels = p->window.out.channels;
    for (int32_t o = 0; o < channels; o++)
        for (int32_t i = 0; i < pixels; i++) {
            const int32_t own = *sum++, *channel = p->channel + 4 * o;
            out[i * channels + o] = kb_saturate(VALUE(own, channel, p->out_zero), -128);
        }
}

/* Outputs of `pixels` pixels from their sums. */
KB_APART void finish(const int32_t *sum, int8_t *out, int32_t pixels, const kb_conv2d_s8_params *p)
{
    const int32_t channels = p->window.out.channels;
    const results r = {sum, p->channel, p->channel + 4 * channels, out, channels, pixels};
    KB_STORED(&r);
    if (p->quick)
        finish_quick(&r);
    else
        finish_slowly(sum, out, pixels, p);
    KB_NO_UNROLL
    for (int32_t i = 0; p->low > -128 && i < pixels * channels; i++)
        out[i] = (int8_t)kb_max(out[i], p->low);
}

/* Where the values for three pixels are: how far one is from the next, and the end of a row from the next row. */
typedef struct {
    const int8_t *at[3];
    int32_t step[3], skip[3];
} sources;

/* clang-format off */
/* The words of `rows` rows of `bytes` bytes. */
KB_APART __attribute__((naked)) void expand(int32_t *words, const sources *s, int32_t bytes, int32_t rows)
{
    __asm__(ENTER
            "mov r11, r2\n muls r3, r2, r3\n adds r3, r3, r0\n mov r12, r3\n ldmia r1!, {r2-r7}\n"
            "mov r8, r5\n mov r9, r6\n mov r10, r7\n ldmia r1!, {r5-r7}\n push {r5-r7}\n"
            "mov r1, r2\n mov r2, r3\n mov r3, r4\n movs r4, #0\n"
            "1: mov r5, r0\n add r5, r11\n mov lr, r5\n"
            "2: ldrsb r5, [r1, r4]\n ldrsb r6, [r2, r4]\n ldrsb r7, [r3, r4]\n lsls r6, r6, #11\n adds r7, r7, r6\n"
            "lsls r6, r6, #10\n adds r5, r5, r6\n stmia r0!, {r5, r7}\n"
            "add r1, r8\n add r2, r9\n add r3, r10\n cmp r0, lr\n bne 2b\n"
            "ldr r5, [sp]\n adds r1, r1, r5\n ldr r5, [sp, #4]\n adds r2, r2, r5\n ldr r5, [sp, #8]\n adds r3, r3, r5\n"
            "cmp r0, r12\n bne 1b\n add sp, #12\n" LEAVE);
}
/* clang-format on */

/* The words from tap `begin` on of `rows` rows of `channels`, but of no tap below 0 or from `end` on. */
KB_APART void fill_rows(int32_t *words, const sources *s, int32_t begin, int32_t rows, int32_t channels, int32_t end,
                        int32_t pixels)
{
    KB_STORED(s);
    if (pixels == 3 && begin >= 0 && begin + rows * channels <= end) {
        expand(words + 2 * begin, s, 8 * channels, rows);
        return;
    }
    sources row = *s;
    for (; rows > 0; rows--, begin += channels) {
        sources part = row;
        const int32_t skip = kb_max(-begin, 0), count = kb_min(channels, end - begin) - skip;
        KB_NO_UNROLL
        for (int32_t i = 0; i < 3; i++) {
            part.at[i] += skip * row.step[i];
            row.at[i] += channels * row.step[i] + row.skip[i];
        }
        KB_STORED(&part);
        if (count > 0 && pixels == 3)
            expand(words + 2 * (begin + skip), &part, 8 * count, 1);
        KB_NO_UNROLL
        for (int32_t i = 0; i < count && pixels == 1; i++, part.at[0] += part.step[0])
            words[begin + skip + i] = *part.at[0];
    }
}

/* The values of a piece of `end` taps. What fills up a column is multiplied by weights of 0 and left as it is. */
KB_APART void fill(const int8_t *in, const piece *t, int32_t end, const windows *at, const kb_conv2d_s8_params *p)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, width = at->width, pixels = at->pixels, onward = g->stride_w * channels;
    const int8_t zero = (int8_t)p->in_zero;
    const kb_span rows = kb_clip(at->y, g->kernel_h, g->in.height);
    const sources padding = {{&zero, &zero, &zero}, {0, 0, 0}, {0, 0, 0}};
    int32_t begin = -t->before;
    const int8_t *from = in + ((at->y + rows.from) * width + at->x) * channels;
    KB_NO_UNROLL
    for (int32_t x = at->x; x < at->x + g->kernel_w; x++, from += channels, begin += p->column) {
        sources inside = padding;
        KB_NO_UNROLL
        for (int32_t i = 0; i < pixels; i++)
            if ((uint32_t)(x + i * g->stride_w) < (uint32_t)width)
                inside.at[i] = from + i * onward, inside.step[i] = 1, inside.skip[i] = (width - 1) * channels;
        if (rows.from > 0)
            fill_rows(t->x, &padding, begin, rows.from, channels, end, pixels);
        fill_rows(t->x, &inside, begin + rows.from * channels, rows.to - rows.from, channels, end, pixels);
        if (rows.to < g->kernel_h)
            fill_rows(t->x, &padding, begin + rows.to * channels, g->kernel_h - rows.to, channels, end, pixels);
    }
}

/* Part of one row of the output. */
KB_APART void convolve_row(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, int32_t y,
                           int32_t x, int32_t x_end, int32_t width)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->out.channels, sums = (channels + 3) & ~3, stride = g->stride_w;
    const int32_t words = p->sums + (((p->block - 1) * stride * p->column + p->taps) >> 1);
    const int32_t one = (words - sums) & ~1, three = ((words - 3 * sums) >> 1) & ~3;
    piece t = {.sum = scratch};
    windows at = {y * g->stride_h - g->pad_h, x * stride - g->pad_w, 0, width};
    for (; x < x_end; x += at.pixels, at.x += at.pixels * stride) {
        at.pixels = three >= kb_min(p->taps, KB_CONV2D_S8_PIECE / 2) && x + 2 < x_end ? 3 : 1;
        const int32_t most = at.pixels == 3 ? kb_min(three, KB_CONV2D_S8_PIECE) : kb_min(one, KB_CONV2D_S8_CHUNK);
        t.x = t.sum_end = t.sum + sums * at.pixels;
        for (t.before = 0; t.before < p->taps; t.before += most) {
            const int32_t taps = kb_min(most, p->taps - t.before);
            t.x_end = t.x + taps * (at.pixels == 3 ? 2 : 1);
            t.w = p->weight + 2 * t.before, t.skip = 4 * (p->taps - taps);
            fill(in, &t, taps, &at, p);
            KB_STORED(&t);
            if (at.pixels == 3)
                three_pixels(&t);
            else
                one_pixel(&t);
        }
        finish(t.sum, out + x * channels, at.pixels, p);
    }
}

#endif
