/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution on RISC-V: the inner loops of conv2d_s8_three.h, which includes this. Of a half word of weights the
   lower byte is that of the first channel, and what is left, rounded, that of the second. */
#ifndef KB_CONV2D_S8_RV32_H
#define KB_CONV2D_S8_RV32_H

#include "kb_output.h"

/* The sums of a channel, from those of both words; those of taps before are in `sum`. */
KB_INLINE void separate(int32_t *sum, uint32_t u, uint32_t v, int32_t before)
{
    const int32_t a = (int32_t)(u << 11) >> 11;
    const uint32_t low = (u - (uint32_t)a) >> 21, left = v - (low << 11);
    const int32_t c = (int32_t)(left << 10) >> 10;
    const int32_t b = (int32_t)(left - (uint32_t)c) >> 22;
    sum[0] = a + (before ? sum[0] : 0);
    sum[1] = b * 2048 + (int32_t)low + (before ? sum[1] : 0);
    sum[2] = c + (before ? sum[2] : 0);
}

/* The sums of three pixels, of all channels. */
KB_APART void three_pixels(const piece *p)
{
    const int32_t *const end = p->x_end;
    const int16_t *w = p->w;
    for (int32_t *sum = p->sum; sum != p->sum_end; sum += 12, w += p->skip / 2) {
        uint32_t u[4] = {0, 0, 0, 0}, v[4] = {0, 0, 0, 0};
        KB_NO_UNROLL
        for (const int32_t *x = p->x; x != end; x += 4, w += 4) {
            KB_UNROLL
            for (int32_t i = 0; i < 4; i++) { /* two taps of each pair */
                const uint32_t at = (uint32_t)x[i % 2 * 2], beside = (uint32_t)x[i % 2 * 2 + 1];
                const uint32_t first = (uint32_t)((const int8_t *)(w + i))[0], second = (uint32_t)((w[i] + 128) >> 8);
                u[i / 2 * 2] += at * first, v[i / 2 * 2] += beside * first;
                u[i / 2 * 2 + 1] += at * second, v[i / 2 * 2 + 1] += beside * second;
            }
        }
        KB_UNROLL
        for (int32_t c = 0; c < 4; c++)
            separate(sum + 3 * c, u[c], v[c], p->before);
    }
}

/* The sums of one pixel, of all channels: of a pair those by the half words, and by their lower bytes. */
KB_APART void one_pixel(const piece *p)
{
    const int32_t *const end = p->x_end;
    const int16_t *w = p->w;
    for (int32_t *sum = p->sum; sum != p->sum_end; sum += 4, w += p->skip / 2) {
        const int8_t *low = (const int8_t *)w;
        int32_t both[2] = {0, 0}, first[2] = {0, 0};
        KB_OPAQUE(low); /* a load is less than what makes a byte of a half word */
        KB_NO_UNROLL
        for (const int32_t *x = p->x; x != end; x += 2, w += 4, low += 8) {
            KB_UNROLL
            for (int32_t i = 0; i < 4; i++)
                both[i / 2] += x[i % 2] * w[i], first[i / 2] += x[i % 2] * low[2 * i];
        }
        KB_UNROLL
        for (int32_t i = 0; i < 2; i++) {
            sum[2 * i] = first[i] + (p->before ? sum[2 * i] : 0);
            sum[2 * i + 1] = ((both[i] - first[i]) >> 8) + (p->before ? sum[2 * i + 1] : 0);
        }
    }
}

/* Outputs of all sums. */
KB_APART void finish(const piece *p)
{
    const int32_t next = p->next, pixels = p->pixels, *sum = p->sum, *const end = p->channel_end;
    int8_t *first = p->out;
    for (const int32_t *channel = p->channel; channel != end; channel += 4, first++) {
        const int32_t numbers[4] = {channel[0], channel[1], channel[2], channel[3]};
        int8_t *out = first;
        KB_NO_UNROLL
        for (int32_t i = pixels; i > 0; i--, out += next)
            *out = kb_output(*sum++, numbers, -128);
    }
}

/* The words of three pixels, up to `end`, from the values `first` steps on. */
KB_APART void expand(const sources *s, int32_t *words, const int32_t *end, int32_t first)
{
    const int32_t one = s->step[0], two = s->step[1], three = s->step[2];
    const int8_t *a = s->at[0] + one * first, *b = s->at[1] + two * first, *c = s->at[2] + three * first;
    KB_NO_UNROLL
    for (; words != end; words += 2, a += one, b += two, c += three) {
        const int32_t middle = *b * 2048;
        words[0] = *a + middle * 1024;
        words[1] = *c + middle;
    }
}

#endif
