/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution on RISC-V: what depthwise_words.h, which includes this, and its kernels share. */
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

/* All outputs of channel c, the sum of whose weights is `weights`, from the first one on; `add` makes the sums of the
   two neighbours whose window begins at x, by the weights in w. */
KB_INLINE void outputs(const tile *t, int32_t c, int32_t weights, int8_t *out, const int32_t *w,
                       void (*add)(const tile *t, const int32_t *x, const int32_t *w, int32_t sum[2]))
{
    const axis *along = &t->along;
    const scaling s = scaling_of(t->p->channel + 3 * c, t->p->out_zero);
    const int32_t bias = s.bias - t->p->in_zero * weights * (1 << s.left), low = t->p->low, next = along->out;
    const int32_t count = along->to - along->from, step = 2 * along->stride, pitch = t->across.stride * t->pitch;
    const int32_t *row = t->plane + along->stride;
    for (int32_t rows = t->across.to - t->across.from; rows > 0; rows--, row += pitch, out += t->across.out) {
        const int32_t *x = row;
        int8_t *to = out;
        KB_NO_UNROLL
        for (int32_t left = count; left > 0; left -= 2, x += step, to += 2 * next) {
            int32_t sum[2] = {0, 0};
            add(t, x, w, sum);
            *to = finish(&s, sum[0] * (1 << s.left) + bias, low);
            if (left > 1)
                to[next] = finish(&s, sum[1] * (1 << s.left) + bias, low);
        }
    }
}

#endif
