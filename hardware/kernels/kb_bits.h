/* SPDX-License-Identifier: Apache-2.0 */
/* Binary convolution in bit slices: bit j of a word belongs to output channel 32 * group + j, and of every output pixel
   the set bits of the weights are counted for 32 channels at once. Only taps whose activation is +1 are counted: with c
   weights of +1 among m such taps, and p among all n taps inside the map, the sum of products of signs is
   4c - 2m - 2p + n.

   Weights are [groups][lists][taps of a list, then a word 0]. The taps of a list are a column of the kernel, so that a
   pixel's right neighbour uses its lists again; where a column has KB_BITS_FEW taps or less, they are the whole kernel.
   Where padding takes taps away, p and n depend on the place: the output has cases of clipped windows, numbered row by
   row. */
#ifndef KB_BITS_H
#define KB_BITS_H

#include "kb_inline.h"

#define KB_BITS_SLICES 18 /* of a counter: KB_BITS_MAX_TAPS, rounded up to whole passes of 3 */

/* Rows or columns of the output by the taps that padding takes: those before `edge` and after `edge + skip` one by one,
   all between together. */
typedef struct {
    int32_t edge, skip, count;
} kb_bits_cases;

KB_INLINE kb_bits_cases kb_bits_cases_of(int32_t out, int32_t in, int32_t kernel, int32_t stride, int32_t padding)
{
    const int32_t edge = (padding + stride - 1) / stride;
    const int32_t end = kb_max(0, in + padding - kernel + stride) / stride;
    const int32_t skip = kb_max(0, end - edge - 1);
    return (kb_bits_cases){edge, skip, out - skip};
}

KB_INLINE int32_t kb_bits_case(const kb_bits_cases *c, int32_t i)
{
    return kb_min(i, kb_max(c->edge, i - c->skip));
}

/* A walk over output pixels. */
typedef struct {
    const kb_window *window;
    const uint32_t *weight;
    uint16_t *lists; /* of set taps, as byte offsets into their weights; each starts with its length */
    uint32_t *carries;
    kb_bits_cases rows, columns;
    int32_t list_count, list_size, list_taps, taps, bits;
    int32_t width; /* columns of the input that there are */
    int32_t y, listed; /* the row of the output, and the first column of the input that has no list yet */
    kb_span row, column;
    kb_range used; /* lists of this pixel; that of kernel column `used.from` lies at `slot`, the next ones after it */
    int32_t slot;
    int32_t valid, set, place; /* n, m and the case of this pixel */
    uint32_t count[KB_BITS_SLICES]; /* c of 32 channels, one slice per bit */
} kb_bits;

/* The slices that the counter of a layer needs. */
KB_INLINE int32_t kb_bits_of(int32_t taps)
{
    int32_t bits = 0;
    for (; taps; taps >>= 1)
        bits++;
    return bits;
}

void kb_bits_begin(kb_bits *b, const kb_window *window, const uint32_t *weight, void *scratch);

/* Start a row of the output at column x. */
void kb_bits_row(kb_bits *b, int32_t y, int32_t x);

/* Go to a pixel of the row; columns rise. */
void kb_bits_pixel(kb_bits *b, const uint32_t *in, int32_t x);

/* Make b->count: `start` plus the count of every channel of a group at this pixel. */
void kb_bits_count(kb_bits *b, int32_t group, int32_t start);

/* Twice the counts of one group. */
void kb_bits_sums(const kb_bits *b, int32_t sums[32]);

/* A value of int8 from a sum: with a positive shift one of the product's upper word, whose addend does the rounding and
 * the zero point. */
KB_INLINE int32_t kb_bits_requantise(int32_t acc, int32_t multiplier, int32_t shift, int32_t zero)
{
    if (shift > 0)
        return kb_multiply_high(acc, multiplier, (int32_t)((uint32_t)(2 * zero + 1) << (shift - 1))) >> shift;
    return kb_requantise_once(acc, multiplier, -shift) + zero;
}

/* Three parts of kernels whose output is no bits. `STORE(to, sum, rest, p, o)` makes the value of channel `o` from its
   sum of products of signs, which is twice what a count is above `positive`, and `rest`; of a kernel in slices that is
   the sum of the signs themselves, negated. `finish` makes the values of one group at one pixel. */
#define KB_BITS_FINISH(value, params, STORE)                                                                           \
    KB_APART void finish(const int32_t *sums, int32_t rest, const uint16_t *positive, value *to, const params *p,      \
                         int32_t first)                                                                                \
    {                                                                                                                  \
        const params own = *p; /* which no store can change */                                                         \
        const int32_t end = kb_min(first + 32, own.window.out.channels);                                               \
        for (int32_t o = first; o < end; o++) {                                                                        \
            STORE(to++, 2 * (*sums++ - *positive++) + rest, rest, &own, o);                                            \
        }                                                                                                              \
    }

#define KB_BITS_CONV2D(kernel, value, params)                                                                          \
    KB_KERNEL void kernel(const uint32_t *in, value *out, void *scratch, const params *p, const kb_region *r)          \
    {                                                                                                                  \
        const kb_window *g = &p->window;                                                                               \
        const int32_t channels = g->out.channels;                                                                      \
        kb_bits b;                                                                                                     \
        kb_bits_begin(&b, g, p->weight, scratch);                                                                      \
        for (int32_t y = r->y; y < r->y_end; y++) {                                                                    \
            value *to = out + (y * g->out.width + r->x) * channels;                                                    \
            kb_bits_row(&b, y, r->x);                                                                                  \
            for (int32_t x = r->x; x < r->x_end; x++, to += channels) {                                                \
                kb_bits_pixel(&b, in, x);                                                                              \
                const uint16_t *positive = p->positive + b.place * channels;                                           \
                for (int32_t first = 0; first < channels; first += 32) {                                               \
                    int32_t sums[32];                                                                                  \
                    kb_bits_count(&b, first / 32, 0);                                                                  \
                    kb_bits_sums(&b, sums);                                                                            \
                    finish(sums, b.valid - 2 * b.set, positive + first, to + first, p, first);                         \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

/* Of few channels (kb_few.h). */
#define KB_FEW_CONV2D(kernel, value, params)                                                                           \
    KB_KERNEL void kernel(const uint32_t *in, value *out, void *scratch, const params *p, const kb_region *r)          \
    {                                                                                                                  \
        const kb_window *g = &p->window;                                                                               \
        const int32_t channels = g->out.channels;                                                                      \
        kb_few f;                                                                                                      \
        kb_few_begin(&f, g, p->weight, scratch);                                                                       \
        for (int32_t y = r->y; y < r->y_end; y++) {                                                                    \
            value *to = out + (y * g->out.width + r->x) * channels;                                                    \
            kb_few_row(&f, in, y);                                                                                     \
            for (int32_t x = r->x; x < r->x_end; x++, to += channels) {                                                \
                uint32_t sums[32];                                                                                     \
                kb_few_pixel(&f, x, 0, sums);                                                                          \
                finish((const int32_t *)sums, -f.valid, p->positive + f.place, to, p, 0);                              \
            }                                                                                                          \
        }                                                                                                              \
    }

#endif
