/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of sound to the logarithms of their mel energies, or to cepstra; docs/arithmetic.md has what is computed. */
#include "kb_inline.h"
#include "kb_turn.h"

typedef struct {
    int32_t re, im;
} number;

/* A frame under its window as complex numbers of two samples each, in the order of reversed bits; zeros behind it. */
KB_APART void load(const int16_t *x, number *z, const kb_logmel_s16_params *p)
{
    const int32_t size = p->points / 2;
    int32_t place = 0;
    for (int32_t i = 0; i < p->points; i += 2) {
        const int32_t left = p->frame - i;
        number made = {0, 0};
        if (left > 0) {
            made.re = (x[i] * p->window[kb_min(i, left)]) >> 6;
            made.im = (x[i + 1] * p->window[kb_min(i + 1, left - 1)]) >> 6;
        }
        z[place] = made;
        int32_t bit = size / 2;
        for (; place & bit; bit /= 2)
            place ^= bit;
        place |= bit;
    }
}

/* One pass of radix 2, without a turn. */
KB_APART void halves(number *z, const number *end)
{
    for (; z < end; z += 2) {
        const number a = z[0], b = z[1];
        z[0] = (number){a.re + b.re, a.im + b.im};
        z[1] = (number){a.re - b.re, a.im - b.im};
    }
}

/* Half of a number, turned back. */
KB_INLINE number turned(number a, kb_turn turn)
{
    return (number){kb_turned_re(a.re, a.im, turn), kb_turned_im(a.re, a.im, turn)};
}

KB_INLINE number halved(number a)
{
    return (number){a.re >> 1, a.im >> 1};
}

/* Four legs, `span` numbers apart and in the order of reversed bits. */
KB_INLINE void join(number *z, int32_t span, number a, number b, number c, number d)
{
    const number sum = {a.re + b.re, a.im + b.im}, gap = {a.re - b.re, a.im - b.im};
    const number more = {c.re + d.re, c.im + d.im}, side = {c.re - d.re, c.im - d.im};
    z[0] = (number){sum.re + more.re, sum.im + more.im};
    z[span] = (number){gap.re + side.im, gap.im - side.re};
    z[2 * span] = (number){sum.re - more.re, sum.im - more.im};
    z[3 * span] = (number){gap.re - side.im, gap.im + side.re};
}

/* The butterflies of a pass whose legs are not turned. */
KB_APART void straight(number *z, const number *end, int32_t span)
{
    for (; z < end; z += 4 * span)
        join(z, span, halved(z[0]), halved(z[span]), halved(z[2 * span]), halved(z[3 * span]));
}

/* Those whose legs are turned by once, twice and three times an angle. */
KB_APART void bent(number *z, const number *end, int32_t span, const int16_t *sine, int32_t angle, int32_t quarter)
{
    const kb_turn once = kb_turn_by(sine + angle, quarter), twice = kb_turn_by(sine + 2 * angle, quarter);
    const kb_turn thrice = kb_turn_by(sine + 3 * angle, quarter);
    for (; z < end; z += 4 * span)
        join(z, span, halved(z[0]), turned(z[span], twice), turned(z[2 * span], once), turned(z[3 * span], thrice));
}

/* The Fourier transform in place; each pass of radix 4 halves. */
KB_APART void transform(number *z, const kb_logmel_s16_params *p)
{
    const int32_t size = p->points / 2, quarter = p->points / 4;
    const number *end = z + size;
    int32_t span = 1;
    if (p->odd) {
        halves(z, end);
        span = 2;
    }
    for (; span < size; span *= 4) {
        const int32_t step = p->points / (4 * span);
        straight(z, end, span);
        for (int32_t j = 1; j < span; j++)
            bent(z + j, end, span, p->sine, j * step, quarter);
    }
}

/* Magnitudes' bits, one more for some that are negative. */
KB_INLINE uint32_t bits(number a)
{
    return (uint32_t)((a.re ^ a.re >> 31) | (a.im ^ a.im >> 31));
}

/* The spectrum of the real samples, in place of that of pairs, but for 0 Hz; all bits of its magnitudes. */
KB_APART uint32_t unravel(number *z, const kb_logmel_s16_params *p)
{
    const int32_t quarter = p->points / 4;
    number *near = z + 1, *far = z + p->points / 2 - 1;
    uint32_t all = 0;
    for (int32_t k = 1; k <= quarter; k++, near++, far--) {
        const number a = *near, b = *far;
        const number even = halved((number){a.re + b.re, a.im - b.im});
        const number odd = turned((number){a.re - b.re, a.im + b.im}, kb_turn_by(p->sine + k, quarter));
        *near = (number){even.re + odd.im, even.im - odd.re};
        all |= bits(*near);
        *far = (number){even.re - odd.im, -even.im - odd.re};
        all |= bits(*far);
    }
    return all;
}

/* 1024 log2 of up to 48 bits, by straight lines; 0 of 0. */
KB_APART int32_t logarithm(uint64_t value, const uint16_t *table)
{
    const uint32_t high = (uint32_t)(value >> 32), top = high ? (uint32_t)(value >> 16) : (uint32_t)value;
    if (!top)
        return 0;
    const int32_t zeros = __builtin_clz(top), whole = (high ? 47 : 31) - zeros;
    const int32_t rest = (int32_t)(top << zeros >> 15 & 0xFFFF);
    const uint16_t *line = table + (rest >> 12);
    return 1024 * whole + line[0] + (((line[1] - line[0]) * (rest & 0xFFF) + 2048) >> 12);
}

/* Powers in a segment, by halves: their sum, and that of what the rising band has of them, in 256ths. */
typedef struct {
    uint64_t whole, rising;
} segment;

KB_INLINE segment powers(const number *z, const uint8_t *weights, int32_t count, int32_t shift)
{
    uint32_t low = 0, high = 0, rising_low = 0, rising_high = 0;
    for (; count > 0; count--, z++) {
        const int32_t re = z->re >> shift, im = z->im >> shift;
        const uint32_t power = (uint32_t)(re * re) + (uint32_t)(im * im), weight = *weights++;
        low += power & 0xFFFF;
        high += power >> 16;
        rising_low += (power & 0xFFFF) * weight;
        rising_high += (power >> 16) * weight;
    }
    return (segment){((uint64_t)high << 16) + low, ((uint64_t)rising_high << 16) + rising_low};
}

/* The bands of a spectrum in 16ths of codes. */
KB_APART void measure(const number *z, int16_t *levels, uint32_t all, const kb_logmel_s16_params *p)
{
    const int32_t shift = all >> 15 ? 17 - __builtin_clz(all) : 0;
    const uint8_t *weights = p->weights;
    uint64_t before = 0;
    z += p->first;
    for (int32_t s = 0; s <= p->bands; s++) {
        const int32_t count = p->counts[s];
        const segment part = powers(z, weights, count, shift);
        z += count;
        weights += count;
        if (s > 0) {
            const uint64_t energy = before + (part.whole << 8) - part.rising;
            const int32_t level = energy ? logarithm(energy, p->log) + 2048 * shift : 0;
            levels[s - 1] = (int16_t)kb_min(kb_max((level * p->gain + p->offset) >> 16, 0), 16 * 255);
        }
        before = part.rising;
    }
}

/* What is said of a frame: its bands rounded, or their cosines about 128. */
KB_APART void code(const int16_t *levels, uint8_t *out, const kb_logmel_s16_params *p)
{
    const int16_t *cosine = p->cosine;
    for (int32_t c = 0; c < p->coefficients; c++) {
        int32_t sum = 1 << 17;
        for (int32_t b = 0; b < p->bands; b++)
            sum += (levels[b] - 2048) * *cosine++;
        *out++ = (uint8_t)kb_min(kb_max((sum >> 18) + 128, 0), 255);
    }
    for (int32_t b = p->coefficients ? p->bands : 0; b < p->bands; b++)
        *out++ = (uint8_t)((levels[b] + 8) >> 4);
}

KB_KERNEL void kb_logmel_s16(const int16_t *in, uint8_t *out, void *scratch, const kb_logmel_s16_params *p)
{
    number *z = scratch;
    int16_t *levels = (int16_t *)(z + p->points / 2);
    for (int32_t frame = 0; frame < p->frames; frame++, in += p->hop) {
        load(in, z, p);
        transform(z, p);
        measure(z, levels, unravel(z, p), p);
        code(levels, out, p);
        out += p->coefficients ? p->coefficients : p->bands;
    }
}
