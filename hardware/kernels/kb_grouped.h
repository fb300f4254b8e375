/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution of any groups and dilation, for several types of values.

   Outputs are made in blocks of four or one. Where a group has more than one input channel, the outputs of a block are
   of one group and read the same channels; else, as in a depthwise convolution, each reads one channel of its own or
   shares it with some neighbours. The weights of a block follow one another, tap by tap. */
#ifndef KB_GROUPED_H
#define KB_GROUPED_H

#include "kb_inline.h"

/* Taps of a kernel that lie inside a map along an axis: `count` from the one numbered `from` on, which lies at `at`, 0
 * if there is none. */
typedef struct {
    int32_t from, count, at;
} kb_taps;

KB_INLINE kb_taps kb_taps_inside(int32_t start, int32_t kernel, int32_t dilation, int32_t size)
{
    kb_taps taps = {0, 0, start};
    for (; taps.at < 0 && taps.from < kernel; taps.at += dilation)
        taps.from++;
    for (int32_t at = taps.at; at < size && taps.from + taps.count < kernel; at += dilation)
        taps.count++;
    if (!taps.count)
        taps.at = 0;
    return taps;
}

/* Which channels the outputs of a block read: all the same `group_in`; or one each, side by side or any. */
enum { KB_SAME, KB_SIDE, KB_ANY };

/* Defines a kernel. `add_tap(acc, x, w, at, p, count, reads)` adds the products of one tap to `count` sums, of which
   number j reads x[at[j]] where they read one channel each; `finish(p, acc, o)` makes a value of the sum of output o.
 */
#define KB_GROUPED_CONV2D(kernel, value, sum, params)                                                                  \
    typedef struct {                                                                                                   \
        const value *x;                                                                                                \
        int32_t rows, columns, step, next, first, skip; /* x from tap to tap, from row to row; taps of the kernel */   \
    } patch;                                                                                                           \
                                                                                                                       \
    /* Outputs o to o + count - 1, whose channels begin at c. */                                                       \
    KB_INLINE void block(const patch *t, value *out, const params *p, int32_t o, int32_t c, int32_t count,             \
                         int32_t reads)                                                                                \
    {                                                                                                                  \
        const int32_t channels = p->group_in, tap = channels * count;                                                  \
        const value *x = t->x + c, *w = p->weight + o * p->taps * channels + t->first * tap;                           \
        sum acc[4] = {0, 0, 0, 0};                                                                                     \
        int32_t at[4];                                                                                                 \
        for (int32_t j = 0; j < count; j++)                                                                            \
            at[j] = reads == KB_ANY ? (o + j) / p->group_out - c : j;                                                  \
        KB_NO_UNROLL                                                                                                   \
        for (int32_t rows = t->rows; rows > 0; rows--, x += t->next, w += t->skip * tap) {                             \
            KB_NO_UNROLL                                                                                               \
            for (int32_t columns = t->columns; columns > 0; columns--, x += t->step, w += tap)                         \
                add_tap(acc, x, w, at, p, count, reads);                                                               \
        }                                                                                                              \
        for (int32_t j = 0; j < count; j++)                                                                            \
            out[o + j] = finish(p, acc[j], o + j);                                                                     \
    }                                                                                                                  \
                                                                                                                       \
    KB_APART void same(const patch *t, value *out, const params *p)                                                    \
    {                                                                                                                  \
        for (int32_t o = 0, c = 0; o < p->window.out.channels; o += p->group_out, c += p->group_in)                    \
            KB_FOR_CHANNELS(p->group_out, KB_SAME_BLOCK);                                                              \
    }                                                                                                                  \
                                                                                                                       \
    KB_APART void side(const patch *t, value *out, const params *p)                                                    \
    {                                                                                                                  \
        KB_FOR_CHANNELS(p->window.out.channels, KB_SIDE_BLOCK);                                                        \
    }                                                                                                                  \
                                                                                                                       \
    KB_APART void any(const patch *t, value *out, const params *p)                                                     \
    {                                                                                                                  \
        KB_FOR_CHANNELS(p->window.out.channels, KB_ANY_BLOCK);                                                         \
    }                                                                                                                  \
                                                                                                                       \
    KB_KERNEL void kernel(const value *in, value *out, void *scratch, const params *p, const kb_region *r)             \
    {                                                                                                                  \
        const kb_window *g = &p->window;                                                                               \
        const int32_t channels = g->in.channels, step = p->dilation_w * channels;                                      \
        (void)scratch;                                                                                                 \
        for (int32_t y = r->y; y < r->y_end; y++) {                                                                    \
            const kb_taps row = kb_taps_inside(y * g->stride_h - g->pad_h, g->kernel_h, p->dilation_h, g->in.height);  \
            value *to = out + (y * g->out.width + r->x) * g->out.channels;                                             \
            for (int32_t x = r->x; x < r->x_end; x++, to += g->out.channels) {                                         \
                const kb_taps column =                                                                                 \
                    kb_taps_inside(x * g->stride_w - g->pad_w, g->kernel_w, p->dilation_w, g->in.width);               \
                const patch t = {in + (row.at * g->in.width + column.at) * channels,                                   \
                                 column.count ? row.count : 0,                                                         \
                                 column.count,                                                                         \
                                 step,                                                                                 \
                                 p->dilation_h * g->in.width * channels - column.count * step,                         \
                                 row.from * g->kernel_w + column.from,                                                 \
                                 g->kernel_w - column.count};                                                          \
                (p->group_in > 1 ? same : p->group_out == 1 ? side : any)(&t, to, p);                                  \
            }                                                                                                          \
        }                                                                                                              \
    }
#define KB_SAME_BLOCK(i, count) block(t, out, p, o + (i), c, count, KB_SAME)
#define KB_SIDE_BLOCK(o, count) block(t, out, p, o, o, count, KB_SIDE)
#define KB_ANY_BLOCK(o, count) block(t, out, p, o, (o) / p->group_out, count, KB_ANY)

#endif
