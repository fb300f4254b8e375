/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on Armv6-M and RISC-V: rows of conv2d_s8.h, which includes this.

   Two multiplications make three products. Of three pixels the values a, b and c that a tap reads are two words,
   u = a + 2^21 * b and v = c + 2^11 * b, whose products with the weights are summed modulo 2^32. Over
   KB_CONV2D_S8_PIECE taps the sums A, B and C of the pixels are within 2^20, so that sum u = A + 2^21 * B gives A and
   the lower 11 bits of B, and what is left of sum v then C and the others. A pixel alone is made by the weights of two
   channels (conv2d_s8.h). */
#ifndef KB_CONV2D_S8_THREE_H
#define KB_CONV2D_S8_THREE_H

#include "kb_clamp.h"

/* Taps whose sums are within 2^20: 64 * 128 * 127 is. */
#define KB_CONV2D_S8_PIECE 64

/* What is read of some channels of one or three pixels, assembly finding each at four times its place: the values of a
   piece of taps; the weights, of which those of a quad end `skip` bytes before those of the next begin; the sums; the
   taps before the piece, to whose sums others are added; the numbers of the channels; and the first output of each
   pixel, of which there are `pixels`, `next` bytes from one to the next. */
typedef struct {
    int32_t *x, *x_end;     /* 0, 4 */
    const int16_t *w;       /* 8 */
    int32_t *sum, *sum_end; /* 12, 16 */
    int32_t skip, before;   /* 20, 24 */
    const int32_t *channel, *channel_end; /* 28, 32 */
    int8_t *out;            /* 36 */
    int32_t next, pixels;   /* 40, 44 */
} piece;

/* The window of the first pixel begins at (y, x) of a map of `width`. */
typedef struct {
    int32_t y, x, width;
} windows;

/* Where the values for three pixels are, and how far one is from the next. */
typedef struct {
    const int8_t *at[3];
    int32_t step[3];
} sources;

#ifdef __riscv
#include "conv2d_s8_rv32.h"
#else
#include "conv2d_s8_v6m.h"
#endif

/* `end` values from the piece on. What fills up a column is multiplied by weights of 0 and left as it is. */
KB_APART void fill(const int8_t *in, const piece *t, int32_t end, const windows *at, const kb_conv2d_s8_params *p)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, width = at->width, pixels = t->pixels;
    const int8_t zero = (int8_t)p->in_zero;
    const sources padding = {{&zero, &zero, &zero}, {0, 0, 0}};
    sources inside;
    for (int32_t column = 0; column < g->kernel_w; column++) {
        KB_NO_UNROLL
        for (int32_t i = 0, x = at->x + column; i < 3; i++, x += g->stride_w) {
            inside.step[i] = (uint32_t)x < (uint32_t)width;
            inside.at[i] = inside.step[i] ? in + x * channels : &zero;
        }
        KB_STORED(&inside);
        int32_t begin = column * p->column - t->before;
        KB_NO_UNROLL
        for (int32_t y = at->y; y < at->y + g->kernel_h; y++, begin += channels) {
            const sources *s = (uint32_t)y < (uint32_t)g->in.height ? &inside : &padding;
            const int32_t from = kb_max(begin, 0), to = kb_min(begin + channels, end);
            const int32_t first = y * width * channels + from - begin;
            if (to > from && pixels == 3)
                expand(s, t->x + 2 * from, t->x + 2 * to, first);
            const int8_t *value = s->at[0] + s->step[0] * first;
            KB_NO_UNROLL
            for (int32_t i = from; i < to && pixels == 1; i++, value += s->step[0])
                t->x[i] = *value;
        }
    }
}

/* Outputs of some channels, for whose values there are `words` words. */
KB_RARE static void make(const int8_t *in, piece *t, int32_t words, const windows *at, const kb_conv2d_s8_params *p)
{
    const int three = t->pixels == 3;
    const int32_t room = (words >> three) & (three ? ~3 : ~1);
    int32_t *const values = t->x;
    int32_t filled = 0, taps;
    for (t->before = 0; t->before < p->taps; t->before += taps, t->w += 2 * taps, t->x = t->x_end) {
        if (t->before == filled) {
            t->x = values;
            filled = kb_min(filled + room, p->taps);
            if (t->channel == p->channel || room < p->taps)
                fill(in, t, filled - t->before, at, p);
        }
        taps = kb_min(three ? KB_CONV2D_S8_PIECE : KB_CONV2D_S8_CHUNK, filled - t->before);
        t->x_end = t->x + (taps << three), t->skip = 4 * (p->taps - taps);
        KB_STORED(t);
        if (three)
            three_pixels(t);
        else
            one_pixel(t);
    }
    t->x = values;
    finish(t);
}

/* Part of one row of the output; as many channels at a time as there is room for the sums of three pixels of. What is
   left of a row that has three or more pixels is made with some before it, if it is two. */
KB_RARE static void convolve_row(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, int32_t y,
                                 int32_t x, int32_t x_end, int32_t width)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->out.channels, all = (channels + 3) & ~3, stride = g->stride_w;
    const int32_t words = p->sums + (((p->block - 1) * stride * p->column + p->taps) >> 1);
    const int32_t room = ((words - 2 * kb_min(p->taps, KB_CONV2D_S8_PIECE)) >> 2) & ~3;
    const int three = room > 0 && x_end - x >= 3;
    const int32_t together = three ? kb_min(room, all) : all;
    piece t;
    windows at = {y * g->stride_h - g->pad_h, 0, width};
    t.sum = scratch, t.next = channels;
    for (; x < x_end; x += t.pixels) {
        t.pixels = three && x_end - x >= 2 ? 3 : 1;
        x = kb_min(x, x_end - t.pixels);
        at.x = x * stride - g->pad_w;
        t.x = t.sum + together * t.pixels;
        for (int32_t o = 0, some; o < channels; o += some) {
            const int32_t whole = (channels & ~3) - o, first = whole ? o : kb_max(channels - 4, 0);
            some = whole ? kb_min(together, whole) : 4;
            t.w = p->weight + (p->taps >> 1) * o, t.sum_end = t.sum + some * t.pixels;
            t.channel = p->channel + 4 * first, t.channel_end = t.channel + 4 * kb_min(some, channels);
            t.out = out + x * channels + first;
            make(in, &t, words - together * t.pixels, &at, p);
        }
        if (p->low > -128)
            kb_clamp(out + x * channels, t.pixels * channels, p->low);
    }
}

#endif
