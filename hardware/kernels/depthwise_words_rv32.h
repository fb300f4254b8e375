/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 on RISC-V: the inner loops of depthwise_words.h, which includes this.
 */
#ifndef KB_DEPTHWISE_WORDS_RV32_H
#define KB_DEPTHWISE_WORDS_RV32_H

/* Words of each value and the one before it, which is the zero point for the first; and one of the last and zero. */
KB_APART void spread_values(const values *v)
{
    const int32_t zero = v->zero, onward = v->onward, step = v->step / 4;
    const int8_t *line = v->from, *end = v->end;
    for (int32_t *row = v->to; end <= v->last; row += v->pitch / 4, line += v->line, end += v->line) {
        int32_t *to = row, before = zero;
        KB_NO_UNROLL
        for (const int8_t *from = line; from < end; from += onward, to += step) {
            const int32_t value = *from;
            *to = value * 65536 + before;
            before = value;
        }
        *to = zero * 65536 + before;
    }
}

/* Adds the halves of a word, below 2^15 each, to the sums of two neighbours. */
KB_INLINE void add_halves(int32_t word, int32_t sum[2])
{
    const int32_t low = (int16_t)word;
    sum[0] += low;
    sum[1] += (word - low) >> 16;
    KB_OPAQUE(sum[0]); /* one word after the other: there are no registers for all */
    KB_OPAQUE(sum[1]);
}

/* The sums of two neighbours whose window begins at x. */
KB_INLINE void add_window(const int32_t *x, int32_t pitch, const int32_t w[9], int32_t sum[2])
{
    const int32_t *const rows[3] = {x, x + pitch, x + 2 * pitch};
    int32_t product[9];
    for (int32_t i = 0; i < 9; i++)
        product[i] = rows[i / 3][i % 3] * w[i];
    for (int32_t i = 0; i < 8; i += 2)
        add_halves(product[i] + product[i + 1], sum);
    add_halves(product[8], sum);
}

KB_APART void channel(const tile *t, int32_t c, int8_t *out)
{
    const axis *along = &t->along, *across = &t->across;
    const int8_t *const from = t->p->weight + c;
    int32_t w[9], weights = 0;
    for (int32_t i = 0; i < 9; i++)
        weights += w[i] = from[i / 3 * across->weight + i % 3 * along->weight];
    const scaling s = scaling_of(t->p->channel + 3 * c, t->p->out_zero);
    const int32_t bias = s.bias - t->p->in_zero * weights * (1 << s.left), low = t->p->low, next = along->out;
    const int32_t count = along->to - along->from, step = 2 * along->stride, down = across->stride * t->pitch;
    const int32_t *row = t->plane + along->stride;
    for (int32_t rows = across->to - across->from; rows > 0; rows--, row += down, out += across->out) {
        const int32_t *x = row;
        int8_t *to = out;
        KB_NO_UNROLL
        for (int32_t left = count; left > 0; left -= 2, x += step, to += 2 * next) {
            int32_t sum[2] = {0, 0};
            add_window(x, t->pitch, w, sum);
            *to = finish(&s, sum[0] * (1 << s.left) + bias, low);
            if (left > 1)
                to[next] = finish(&s, sum[1] * (1 << s.left) + bias, low);
        }
    }
}

#endif
