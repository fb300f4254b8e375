/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution on cores with the DSP extension, four channels at a time: depthwise_conv2d_s8.c includes
   this. */
#ifndef KB_DEPTHWISE_CONV2D_S8_DSP_H
#define KB_DEPTHWISE_CONV2D_S8_DSP_H

#include "kb_dsp.h"
#include "kb_inline.h"

#define QUAD 4

/* The input is spread into planes of 16-bit values less the zero point, one plane per channel, with zeros for padding,
   so that one word holds two neighbours and one instruction adds two products. A plane keeps the last kernel_h rows,
   row y at y mod kernel_h, its words being [column][row]. Kernels are spread likewise, twice: for windows that start at
   the first half of a word, and at the second. */
typedef struct {
    const kb_depthwise_conv2d_s8_params *p;
    const kb_region *r;
    int32_t columns, taps; /* words in a row of a plane, and in a kernel row */
    uint32_t *planes;      /* [QUAD][columns][kernel_h] */
    uint32_t *kernels;     /* [QUAD][2][kernel_h][taps] */
    int32_t *sums;         /* of a row: [QUAD][pitch], of which the first `made` are wanted */
    int32_t pitch, made;
} quad;

KB_INLINE int is_3x3(const quad *q)
{
    const kb_window *g = &q->p->window;
    return g->kernel_h == 3 && g->kernel_w == 3 && g->stride_w <= 2;
}

/* Two neighbours, where they exist, of four channels. */
KB_INLINE void spread(const int8_t *from, int32_t next, uint32_t offset, int first, int second, uint32_t *to,
                      int32_t plane)
{
    const uint32_t a = first ? kb_load4(from) : 0, b = second ? kb_load4(from + next) : 0;
    const uint32_t a_even = first ? kb_sxtab16(offset, a) : 0, a_odd = first ? kb_sxtab16_odd(offset, a) : 0;
    const uint32_t b_even = second ? kb_sxtab16(offset, b) : 0, b_odd = second ? kb_sxtab16_odd(offset, b) : 0;
    to[0] = (a_even & 0xFFFF) | b_even << 16;
    to[plane] = (a_odd & 0xFFFF) | b_odd << 16;
    to[2 * plane] = a_even >> 16 | (b_even & 0xFFFF0000);
    to[3 * plane] = a_odd >> 16 | (b_odd & 0xFFFF0000);
}

/* Row y of the input, four channels from `in` on. */
KB_APART void spread_row(const quad *q, const int8_t *in, int32_t y)
{
    const kb_window *g = &q->p->window;
    const int32_t channels = g->in.channels, width = g->in.width, rows = g->kernel_h, plane = q->columns * rows;
    const int32_t start = q->r->x * g->stride_w - g->pad_w, end = start + 2 * q->columns;
    const uint32_t minus_zero = (uint32_t)-q->p->in_zero & 0xFFFF, offset = minus_zero << 16 | minus_zero;
    const int8_t *from = in + (y * width + start) * channels;
    uint32_t *to = q->planes + (y + rows) % rows;
    const int exists = y >= 0 && y < g->in.height;
    for (int32_t x = start; x < end; x += 2, from += 2 * channels, to += rows) {
        for (int32_t left = exists && x >= 0 ? (kb_min(end, width) - x) / 2 : 0; left > 0; left--, x += 2) {
            spread(from, channels, offset, 1, 1, to, plane);
            from += 2 * channels;
            to += rows;
        }
        if (x >= end)
            return;
        if (exists && x == -1)
            spread(from, channels, offset, 0, 1, to, plane);
        else if (exists && x >= 0 && x < width)
            spread(from, channels, offset, 1, 0, to, plane);
        else
            to[0] = to[plane] = to[2 * plane] = to[3 * plane] = 0;
    }
}

KB_APART void spread_kernels(const quad *q, int32_t c)
{
    const kb_window *g = &q->p->window;
    int16_t *to = (int16_t *)q->kernels;
    for (int32_t j = c; j < c + QUAD; j++)
        for (int32_t shift = 0; shift < 2; shift++)
            for (int32_t ky = 0; ky < g->kernel_h; ky++) {
                const int8_t *w = q->p->weight + ky * g->kernel_w * g->in.channels + j;
                for (int32_t i = -shift; i < 2 * q->taps - shift; i++)
                    *to++ = i >= 0 && i < g->kernel_w ? w[i * g->in.channels] : 0;
            }
}

/* One kernel row: its products are added to the sums of two pixels at a time. */
KB_INLINE void add_row(const quad *q, const uint32_t *v, const uint32_t *w, int32_t taps, int32_t *sums)
{
    const kb_window *g = &q->p->window;
    const int32_t stride = g->stride_w, step = g->kernel_h, pair = stride * step;
    const uint32_t *w_next = stride & 1 ? w + g->kernel_h * taps : w, *v_next = v + stride / 2 * step;
    for (int32_t left = q->made; left > 0; left -= 2) {
        int32_t acc = sums[0], next = sums[1];
        for (int32_t i = 0; i < taps; i++) {
            acc = kb_smlad(v[i * step], w[i], acc);
            next = kb_smlad(v_next[i * step], w_next[i], next);
        }
        sums[0] = acc;
        sums[1] = next;
        sums += 2;
        v += pair;
        v_next += pair;
    }
}

/* One channel of a row whose window starts at input row `top`. */
KB_APART void sum_rows(const quad *q, int32_t top, int32_t j)
{
    const int32_t rows = q->p->window.kernel_h;
    const uint32_t *v = q->planes + j * q->columns * rows, *w = q->kernels + 2 * j * rows * q->taps;
    int32_t *const sums = q->sums + j * q->pitch;
    for (int32_t x = 0; x < q->pitch; x++)
        sums[x] = 0;
    for (int32_t ky = 0; ky < rows; ky++, w += q->taps) {
        const uint32_t *row = v + (top + ky + rows) % rows;
        if (q->taps == 2)
            add_row(q, row, w, 2, sums);
        else if (q->taps == 3)
            add_row(q, row, w, 3, sums);
        else
            add_row(q, row, w, q->taps, sums);
    }
}

/* Kernels of 3 x 3 for sum_3x3: per channel the pairs (w0, w1) of the rows, those again, then (w1, w2) in the same way,
   so that the rows follow one another from any row on. */
KB_APART void spread_3x3(const quad *q, int32_t c)
{
    const int32_t channels = q->p->window.in.channels;
    uint32_t *to = q->kernels;
    for (int32_t j = c; j < c + QUAD; j++)
        for (int32_t first = 0; first < 2; first++)
            for (int32_t i = 0; i < 6; i++) {
                const int8_t *w = q->p->weight + (3 * (i < 3 ? i : i - 3) + first) * channels + j;
                *to++ = (uint32_t)w[channels] << 16 | (w[0] & 0xFFFF);
            }
}

/* Two neighbouring sums of a 3 x 3 window: `low` has the weights' first pairs, `high` the second ones. */
KB_INLINE void sum_pair(const uint32_t **at, int32_t **sums, const uint32_t low[3], const uint32_t high[3])
{
    uint32_t a, b;
    int32_t acc, next;
    __asm__ volatile(
        ".p2align 2\n"
        "ldr %[a], [%[v]], #12\n"
        "ldr.w %[b], [%[v]]\n"
        "smuad %[acc], %[a], %[low0]\n"
        "smuad %[next], %[b], %[high0]\n"
        "smlabt %[acc], %[b], %[high0], %[acc]\n"
        "smlatb %[next], %[a], %[low0], %[next]\n"
        "ldr %[a], [%[v], #-8]\n"
        "ldr.w %[b], [%[v], #4]\n"
        "smlad %[acc], %[a], %[low1], %[acc]\n"
        "smlad %[next], %[b], %[high1], %[next]\n"
        "smlabt %[acc], %[b], %[high1], %[acc]\n"
        "smlatb %[next], %[a], %[low1], %[next]\n"
        "ldr %[a], [%[v], #-4]\n"
        "ldr.w %[b], [%[v], #8]\n"
        "smlad %[acc], %[a], %[low2], %[acc]\n"
        "smlad %[next], %[b], %[high2], %[next]\n"
        "smlabt %[acc], %[b], %[high2], %[acc]\n"
        "smlatb %[next], %[a], %[low2], %[next]\n"
        "str %[acc], [%[sums]], #8\n"
        "str %[next], [%[sums], #-4]\n"
        : [a] "=&r"(a), [b] "=&r"(b), [acc] "=&r"(acc), [next] "=&r"(next), [v] "+r"(*at), [sums] "+r"(*sums)
        : [low0] "r"(low[0]), [low1] "r"(low[1]), [low2] "r"(low[2]), [high0] "r"(high[0]), [high1] "r"(high[1]),
          [high2] "r"(high[2])
        : "memory");
}

/* The sums of a row of four channels for 3 x 3 kernels with a horizontal stride of 1; `first` is where the planes keep
   the upper row. */
KB_APART void sum_3x3(const quad *q, int32_t first)
{
    const uint32_t *w = q->kernels + (first ? 3 - first : 0), *plane = q->planes;
    KB_NO_UNROLL
    for (int32_t j = 0; j < QUAD; j++, w += 12, plane += 3 * q->columns) {
        const uint32_t low[3] = {w[0], w[1], w[2]}, high[3] = {w[6], w[7], w[8]}, *v = plane;
        int32_t *sums = q->sums + j * q->pitch, *const end = sums + q->made;
        while (sums < end)
            sum_pair(&v, &sums, low, high);
    }
}

/* The same with a stride of 2. */
KB_APART void sum_3x3_stride_2(const quad *q, int32_t first)
{
    const uint32_t *w = q->kernels + (first ? 3 - first : 0), *plane = q->planes;
    KB_NO_UNROLL
    for (int32_t j = 0; j < QUAD; j++, w += 12, plane += 3 * q->columns) {
        const uint32_t low[3] = {w[0], w[1], w[2]}, high[3] = {w[6], w[7], w[8]}, *v = plane;
        int32_t *sums = q->sums + j * q->pitch, *const end = sums + q->made;
        for (; sums < end; sums++, v += 3) {
            const int32_t acc = kb_smlad(v[0], low[0], kb_smlad(v[1], low[1], kb_smlad(v[2], low[2], 0)));
            *sums = kb_smlabt(v[3], high[0], kb_smlabt(v[4], high[1], kb_smlabt(v[5], high[2], acc)));
        }
    }
}

/* Two sums (in a and b) plus the bias, scaled and rounded. */
/* clang-format off */
#ifdef KB_TWICE
#define SCALE                                                                                                         \
    "add.w %[a], %[bias], %[a], lsl #1\n add.w %[b], %[bias], %[b], lsl #1\n"                                         \
    "smmlar %[t], %[a], %[m], %[offset]\n add.w %[a], %[t], %[a], asr #31\n"                                          \
    "smmlar %[t], %[b], %[m], %[offset]\n add.w %[b], %[t], %[b], asr #31\n"
#define TIMES 2
#define AND_T , t
#define AND_OPERAND , [t] "=&r"(t)
#else
#define SCALE                                                                                                         \
    "add.w %[a], %[a], %[bias]\n add.w %[b], %[b], %[bias]\n"                                                         \
    "smmla %[a], %[a], %[m], %[offset]\n smmla %[b], %[b], %[m], %[offset]\n"
#define TIMES 1
#define AND_T
#define AND_OPERAND
#endif
/* clang-format on */

/* The sums of four channels from c on, requantised. */
KB_APART void finish_row(const quad *q, int8_t *row, int32_t c)
{
    const kb_depthwise_conv2d_s8_params *p = q->p;
    const int32_t channels = p->window.in.channels, zero = p->out_zero, low = p->low;
    KB_NO_UNROLL
    for (int32_t j = 0; j < QUAD; j++) {
        const int32_t multiplier = p->multiplier[c + j], shift = p->shift[c + j], bias = p->bias[c + j];
        const int32_t more = shift - SHIFTED, times = TIMES * bias;
        const int32_t *sum = q->sums + j * q->pitch, *const end = sum + q->made;
        int8_t *out = row + j;
        if (more > 0 && more < 24) {
            const int32_t offset = (2 * zero + 1) * (1 << (more - 1)); /* rounds, and adds the zero point */
            for (; sum + 1 < end; out += 2 * channels) {
                int32_t a, b AND_T;
                __asm__("ldr %[a], [%[sum]], #8\n ldr %[b], [%[sum], #-4]\n" SCALE
                        "asr.w %[a], %[a], %[more]\n asr.w %[b], %[b], %[more]\n"
                        "ssat %[a], #8, %[a]\n ssat %[b], #8, %[b]\n"
                        "cmp %[a], %[low]\n it lt\n movlt %[a], %[low]\n"
                        "cmp %[b], %[low]\n it lt\n movlt %[b], %[low]\n"
                        "strb.w %[b], [%[out], %[channels]]\n strb.w %[a], [%[out]]\n"
                        : [a] "=&r"(a), [b] "=&r"(b), [sum] "+r"(sum)AND_OPERAND
                        : [bias] "r"(times), [m] "r"(multiplier), [offset] "r"(offset), [more] "r"(more),
                          [low] "r"(low), [out] "r"(out), [channels] "r"(channels)
                        : "memory", "cc");
            }
        }
        for (; sum < end; sum++, out += channels)
            *out = kb_saturate(scaled(*sum + bias, multiplier, shift) + zero, low);
    }
}

/* Four channels from c on. */
KB_INLINE void channels_4(const quad *q, const int8_t *in, int8_t *out, int32_t c)
{
    const kb_window *g = &q->p->window;
    const kb_region *r = q->r;
    int32_t ready = r->y * g->stride_h - g->pad_h;
    if (is_3x3(q))
        spread_3x3(q, c);
    else
        spread_kernels(q, c);
    for (int32_t y = r->y; y < r->y_end; y++) {
        const int32_t top = y * g->stride_h - g->pad_h;
        for (ready = kb_max(ready, top); ready < top + g->kernel_h; ready++)
            spread_row(q, in + c, ready);
        int8_t *to = out + (y * g->out.width + r->x) * g->out.channels + c;
        if (is_3x3(q)) {
            (g->stride_w == 1 ? sum_3x3 : sum_3x3_stride_2)(q, (top + 3) % 3);
        } else {
            KB_NO_UNROLL
            for (int32_t j = 0; j < QUAD; j++)
                sum_rows(q, top, j);
        }
        finish_row(q, to, c);
    }
}

/* All channels, of which there are four or more. */
KB_INLINE void by_quads(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                        const kb_region *r)
{
    const int32_t channels = p->window.in.channels, rows = p->window.kernel_h;
    const int32_t made = r->x_end - r->x, pitch = made + made % 2;
    const int32_t columns = p->columns - (p->sums - pitch) / 2 * p->window.stride_w;
    uint32_t *const kernels = scratch, *const planes = kernels + 2 * QUAD * rows * p->taps;
    int32_t *const sums = (int32_t *)(planes + QUAD * rows * columns);
    const quad q = {p, r, columns, p->taps, planes, kernels, sums, pitch, made};
    for (int32_t c = 0; c < channels; c += QUAD)
        channels_4(&q, in, out, kb_min(c, channels - QUAD));
}

#endif
