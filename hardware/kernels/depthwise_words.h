/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution on Armv6-M, and of 3 x 3 on RISC-V, by whose kernels it is included: a channel of a tile
   of the map at a time. The input under a tile is spread into a plane whose words hold the values that two neighbouring
   outputs read by the same tap, a + 65536 * b, so that one multiplication makes two products.

   Neighbours lie along one axis of the map and lines of outputs follow across it, as in depthwise_planes.h. Planes are
   [rows across][words along], with the zero point for padding. */
#ifndef KB_DEPTHWISE_WORDS_H
#define KB_DEPTHWISE_WORDS_H

#include "kb_depthwise.h"

/* An axis of the map: its size; bytes from one value to the next of the input, the output and the weights; windows; and
   the tile: its outputs [from, to), and the input under them from `start` on, `extent` words or rows. */
typedef struct {
    int32_t size, in, out, weight, kernel, stride, pad, from, to, start, extent;
} axis;

/* A tile: where its input and output are for channel 0; words of a row, `stride` of them before those that are read. */
typedef struct {
    const kb_depthwise_conv2d_s8_params *p;
    axis along, across;
    int32_t *plane;
    const int8_t *in;
    int8_t *out;
    int32_t pitch;
} tile;

/* The outputs of channel c, from the first one on. */
static void channel(const tile *t, int32_t c, int8_t *out);

/* Lines of input, assembly finding each at four times its place: where the values and the words of the first one
   begin, bytes from one word to the next, the zero point, bytes from one value to the next, the end of the first line,
   `step` twice, bytes from a line to the next one of input and words, and the end of the last line. */
typedef struct {
    const int8_t *from;
    int32_t *to;
    int32_t step, zero, onward;
    const int8_t *end;
    int32_t steps, line, pitch;
    const int8_t *last;
} values;

#ifdef __riscv
#include "depthwise_words_rv32.h"
#else
#include "depthwise_words_v6m.h"
#endif

/* The rows from `top` to `bottom` of the plane of a channel. The value at word `first` of the first of them is at
   `from`; words before and behind the map hold what fills up. */
KB_APART void spread(const tile *t, int32_t first, const int8_t *from, int32_t top, int32_t bottom)
{
    const axis *along = &t->along;
    const int32_t stride = along->stride, line = t->across.in;
    const int8_t *const end = from + (kb_min(along->extent + stride, along->size - along->start) - first) * along->in;
    values v = {0, 0, 4 * stride, t->p->in_zero, stride * along->in, end, 8 * stride, line, 4 * t->pitch, 0};
    v.last = end + (bottom - top - 1) * line;
    KB_NO_UNROLL
    for (int32_t phase = 0; phase < stride; phase++) {
        int32_t i = phase - first;
        while (i < 0)
            i += stride;
        v.from = from + i * along->in;
        v.to = t->plane + first + i + top * t->pitch;
        KB_STORED(&v);
        if (v.from < end)
            spread_values(&v);
    }
}

KB_APART void make(tile *t)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t zero = t->p->in_zero, first = kb_max(-along->start, 0), top = kb_max(-across->start, 0);
    const int32_t bottom = kb_min(across->extent, across->size - across->start);
    const int8_t *in = t->in + (across->start + top) * across->in + (along->start + first) * along->in;
    int8_t *out = t->out + across->from * across->out + along->from * along->out;
    KB_NO_UNROLL
    for (int32_t i = 0; i < t->pitch * across->extent; i++)
        t->plane[i] = zero + zero * 65536;
    KB_NO_UNROLL
    for (int32_t c = 0; c < t->p->window.in.channels; c++, in++, out++) {
        spread(t, first, in, top, bottom);
        channel(t, c, out);
#ifndef __riscv
        if (t->p->low > -128)
            clamp(t, out);
#endif
    }
}

/* Words along under so many outputs, and rows across. */
KB_INLINE int32_t words_under(const axis *along, int32_t outputs)
{
    return ((outputs - 1) & ~1) * along->stride + along->kernel;
}

KB_INLINE int32_t rows_under(const axis *across, int32_t outputs)
{
    return (outputs - 1) * across->stride + across->kernel;
}

/* All tiles. A line costs some 40 cycles besides its outputs: where the whole map is one tile, neighbours lie along its
   longer axis, if that plane fits into the memory that is there for those of the plan (ops/_depthwise.py). */
KB_INLINE void by_tiles(const int8_t *in, int8_t *out, int32_t *plane, const kb_depthwise_conv2d_s8_params *p,
                        const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, line = g->in.width * channels, out_line = g->out.width * channels;
    const axis columns = {g->in.width, channels, channels, channels, g->kernel_w, g->stride_w, g->pad_w, 0, 0, 0, 0};
    const axis rows = {
        g->in.height, line, out_line, g->kernel_w * channels, g->kernel_h, g->stride_h, g->pad_h, 0, 0, 0, 0};
    kb_range wide = {r->x, r->x_end}, high = {r->y, r->y_end};
    axis along = columns, across = rows;
    if (p->turned)
        along = rows, across = columns, wide = (kb_range){r->y, r->y_end}, high = (kb_range){r->x, r->x_end};
    int32_t width = p->along, height = p->across;
    const int32_t made = wide.to - wide.from, others = high.to - high.from;
    const int32_t planned = 4 * (((width - 1) * along.stride + along.kernel + 1) / 2) * rows_under(&across, height);
    if (made < others && made <= width && others <= height &&
        (words_under(&across, others) + across.stride) * rows_under(&along, made) + across.stride <= planned) {
        const axis other = across;
        const kb_range low = wide;
        across = along, along = other, wide = high, high = low, width = others, height = made;
    }
    for (across.from = high.from; across.from < high.to; across.from = across.to) {
        across.to = kb_min(across.from + height, high.to);
        across.start = across.from * across.stride - across.pad;
        across.extent = rows_under(&across, across.to - across.from);
        for (along.from = wide.from; along.from < wide.to; along.from = along.to) {
            along.to = kb_min(along.from + width, wide.to);
            along.start = along.from * along.stride - along.pad;
            along.extent = words_under(&along, along.to - along.from);
            tile t = {p, along, across, plane, in, out, along.extent + along.stride};
            make(&t);
        }
    }
}

#endif
