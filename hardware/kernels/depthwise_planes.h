/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution on cores with the DSP extension, by whose kernels it is included: four channels of a tile
   of the map at a time. The input under a tile is spread into planes of 16-bit values less the zero point, with zeros
   for padding, one plane for each channel; a word holds two neighbours, so that one instruction adds two products.

   Neighbours lie along one axis of the map and windows walk across it: along rows, or where the operator says so
   (`turned`) along columns. Planes are [words along][PITCH rows across][QUAD],
   PITCH being a macro of the kernel's. */
#ifndef KB_DEPTHWISE_PLANES_H
#define KB_DEPTHWISE_PLANES_H

#include "kb_clamp.h"
#include "kb_depthwise.h"

#define QUAD 4

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* An axis of the map: its size; bytes from one value to the next of the input, the output and the weights; windows; and
   the tile: its outputs [from, to), and the input under them, `extent` words along or rows across, from `start` on. */
typedef struct {
    int32_t size, in, out, weight, kernel, stride, pad, from, to, start, extent;
} axis;

/* Values that become columns of words, in bytes, each at four times its place: from the first value of a word to the
   second; from a row to the next; from below a column to the next, and so of the words; and how many columns and rows
   there are. */
typedef struct {
    int32_t step, down, right, next, columns, rows;
} block;

/* A tile: where its input and output are for channel 0, the words of a row that lie in the map (skipped ones, whether
   the first and the last have but one value, and whole ones between) and the rows that do. */
typedef struct {
    const kb_depthwise_conv2d_s8_params *p;
    axis along, across;
    uint32_t *planes;
    const int8_t *in;
    int8_t *out;
    int32_t skip, half_first, whole, half_last;
    kb_range rows;
    block both; /* of whole words */
} tile;

/* Makes all channels, four at a time, of whose input it makes planes by `spread`. */
static void quads(const tile *t);

/* clang-format off */
/* Words of two values, of four channels. */
KB_APART __attribute__((naked)) void spread_both(const int8_t *from, uint32_t *to, uint32_t offset, const block *b)
{
#define ROW                                                                                                           \
    "ldr.w r10, [r0, r4]\n ldr.w r3, [r0]\n add.w r0, r0, r5\n"                                                       \
    "pkhbt lr, r3, r10, lsl #16\n pkhtb r11, r10, r3, asr #16\n"                                                      \
    "sxtab16 r3, r2, lr\n sxtab16 lr, r2, lr, ror #8\n sxtab16 r10, r2, r11\n sxtab16 r11, r2, r11, ror #8\n"         \
    "str.w lr, [r1, #4]\n str.w r10, [r1, #8]\n str.w r11, [r1, #12]\n str.w r3, [r1], #16\n"
    __asm__("push {r4-r11, lr}\n ldm.w r3, {r4-r9}\n cmp.w r8, #0\n beq 4f\n"
            "1: add.w r12, r9, #1\n lsrs.w r12, r12, #1\n bcc.w 3f\n"
            ".balign 4\n"
            "2: " ROW "3: subs.w r12, r12, #1\n" ROW "bne.w 2b\n"
            "add r0, r6\n add r1, r7\n subs.w r8, r8, #1\n bne.w 1b\n"
            "4: pop {r4-r11, pc}\n");
#undef ROW
}
/* clang-format on */

/* A column of words whose first, or else second, value is padding. */
KB_INLINE void spread_one(const int8_t *from, int32_t rows, int32_t down, uint32_t offset, uint32_t *to, int first)
{
    KB_NO_UNROLL
    for (; rows > 0; rows--, from += down, to += QUAD) {
        const uint32_t x = kb_load4(from), even = kb_sxtab16(offset, x), odd = kb_sxtab16_odd(offset, x);
        to[0] = first ? even << 16 : even & 0xFFFF;
        to[1] = first ? odd << 16 : odd & 0xFFFF;
        to[2] = first ? even & 0xFFFF0000 : even >> 16;
        to[3] = first ? odd & 0xFFFF0000 : odd >> 16;
    }
}

/* The input of four channels from c on; what is padding has been set to zero. */
KB_INLINE void spread(const tile *t, int32_t c)
{
    const uint32_t minus_zero = (uint32_t)-t->p->in_zero & 0xFFFF, offset = minus_zero << 16 | minus_zero;
    const int32_t step = t->along.in, line = t->across.in, next = QUAD * PITCH(&t->across);
    const int32_t rows = t->rows.to - t->rows.from;
    const int8_t *from = t->in + c;
    uint32_t *to = t->planes + t->skip * next + t->rows.from * QUAD;
    if (t->half_first) {
        spread_one(from, rows, line, offset, to, 1);
        from += step;
        to += next;
    }
    KB_STORED(&t->both);
    spread_both(from, to, offset, &t->both);
    if (t->half_last)
        spread_one(from + 2 * step * t->whole, rows, line, offset, to + next * t->whole, 0);
}

/* Multiplies words of weights, each of the four channels in turn, by what its products are shifted to the left. */
KB_INLINE void shift_weights(const int32_t *channel, uint32_t *word, const uint32_t *end)
{
    if ((channel[2] | channel[5] | channel[8] | channel[11]) < 256)
        return;
    KB_NO_UNROLL
    for (int32_t i = 0; word != end; word++, i = (i + 1) % QUAD)
        *word = kb_shift16(*word, channel[3 * i + 2] >> 8);
}

KB_INLINE void zero(uint32_t *word, int32_t count)
{
    KB_NO_UNROLL
    for (; count > 0; count--, word += QUAD)
        word[0] = word[1] = word[2] = word[3] = 0;
}

/* Makes zero what of the planes is padding, but for what shares a word with the map. */
KB_INLINE void clear(const tile *t)
{
    const int32_t extent = t->across.extent, end = t->skip + t->half_first + t->whole + t->half_last;
    uint32_t *column = t->planes;
    KB_NO_UNROLL
    for (int32_t i = 0; i < t->along.extent; i++, column += QUAD * PITCH(&t->across)) {
        const int inside = i >= t->skip && i < end;
        zero(column, inside ? t->rows.from : extent);
        if (inside)
            zero(column + QUAD * t->rows.to, extent - t->rows.to);
    }
}

KB_APART void make(tile *t)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t before = kb_max(-along->start, 0);
    const int32_t inside = kb_min(2 * along->extent, along->size - along->start) - before;
    t->skip = before / 2;
    t->half_first = before % 2;
    t->whole = (inside - t->half_first) / 2;
    t->half_last = (inside - t->half_first) % 2;
    t->rows.from = kb_max(-across->start, 0);
    t->rows.to = kb_min(across->extent, across->size - across->start);
    const int32_t high = t->rows.to - t->rows.from, step = along->in;
    t->both =
        (block){step, across->in, 2 * step - high * across->in, 4 * QUAD * (PITCH(across) - high), t->whole, high};
    if (across->extent == 1) /* one column along the row */
        t->both = (block){step, 2 * step, 0, 0, t->whole > 0, t->whole};
    t->in += (across->start + t->rows.from) * across->in + (along->start + before) * along->in;
    t->out += across->from * across->out + along->from * along->out;
    clear(t);
    quads(t);
}

/* The first of the four channels that follow `made` ones: of the last ones some may have been made. */
KB_INLINE int32_t first_of(const tile *t, int32_t made)
{
    return kb_min(made, t->p->window.in.channels - QUAD);
}

/* All channels, of which there are four or more. */
KB_INLINE void by_tiles(const int8_t *in, int8_t *out, uint32_t *planes, const kb_depthwise_conv2d_s8_params *p,
                        const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    const axis columns = {g->in.width, channels, channels, channels, g->kernel_w, g->stride_w, g->pad_w, 0, 0, 0, 0};
    const axis rows = {g->in.height,
                       g->in.width * channels,
                       g->out.width * channels,
                       g->kernel_w * channels,
                       g->kernel_h,
                       g->stride_h,
                       g->pad_h,
                       0,
                       0,
                       0,
                       0};
    const kb_range wide = p->turned ? (kb_range){r->y, r->y_end} : (kb_range){r->x, r->x_end};
    const kb_range high = p->turned ? (kb_range){r->x, r->x_end} : (kb_range){r->y, r->y_end};
    axis along = p->turned ? rows : columns, across = p->turned ? columns : rows;
    for (across.from = high.from; across.from < high.to; across.from = across.to) {
        across.to = kb_min(across.from + p->across, high.to);
        across.start = across.from * across.stride - across.pad;
        across.extent = (across.to - across.from - 1) * across.stride + across.kernel;
        for (along.from = wide.from; along.from < wide.to; along.from = along.to) {
            along.to = kb_min(along.from + p->along, wide.to);
            along.start = along.from * along.stride - along.pad;
            along.extent = (((along.to - along.from - 1) | 1) * along.stride + along.kernel + 1) / 2;
            tile t = {p, along, across, planes, in, out, 0, 0, 0, 0, {0, 0}, {0, 0, 0, 0, 0, 0}};
            make(&t);
        }
    }
    kb_clamp_region(out, &g->out, r, p->low);
}

#endif
