/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of sound to the logarithms of their mel energies, or to cepstra; docs/arithmetic.md has what is computed. */
#include "kb_inline.h"
#include "kb_turn.h"

typedef struct {
    int32_t re, im;
} number;

/* Pairs of samples under the window, from a number's place in the order of reversed bits; `step` is 1 where the window
   rises, and -1 where it falls. */
KB_INLINE void pairs(const int16_t *x, const int16_t *window, int32_t step, number *z, int32_t from, int32_t to,
                     int32_t size)
{
    kb_reversed place = kb_reversed_from(from, size);
    KB_NO_UNROLL
    for (; from < to; from++, x += 2, window += 2 * step)
        z[kb_reversed_next(&place)] = (number){(x[0] * window[0]) >> 6, (x[1] * window[step]) >> 6};
}

/* A frame as complex numbers of two samples each, in the order of reversed bits; zeros behind it. */
KB_APART void load(const int16_t *x, number *z, const kb_logmel_s16_params *p)
{
    const int32_t size = p->points / 2, half = p->frame / 2, rising = (half + 1) / 2;
    for (int32_t i = p->frame < p->points ? 0 : size; i < size; i++)
        z[i] = (number){0, 0};
    pairs(x, p->window, 1, z, 0, rising, size);
    pairs(x + 2 * rising, p->window + p->frame - 2 * rising, -1, z, rising, half, size);
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

KB_INLINE number halved(number a)
{
    return (number){a.re >> 1, a.im >> 1};
}

/* Half of a number, turned back. */
KB_INLINE number turned(number a, kb_turn turn)
{
    return (number){kb_turned_re(a.re, a.im, turn), kb_turned_im(a.re, a.im, turn)};
}

/* By an angle, twice and three times that. */
typedef struct {
    kb_turn once, twice, thrice;
} turns;

/* The next leg: one pointer goes along them all and back, as registers are few. */
#define KB_LEG(z, by)                                                                                                  \
    do {                                                                                                               \
        z += by;                                                                                                       \
        KB_OPAQUE(z);                                                                                                  \
    } while (0)

/* A butterfly, and where the next one is: four legs, `span` numbers apart and in the order of reversed bits, turned
   unless `by` is 0. */
KB_INLINE number *join(number *z, int32_t span, const turns *by)
{
    KB_LEG(z, 2 * span);
    const number c = by ? turned(*z, by->once) : halved(*z);
    KB_LEG(z, span);
    const number d = by ? turned(*z, by->thrice) : halved(*z);
    const number more = {c.re + d.re, c.im + d.im}, side = {c.re - d.re, c.im - d.im};
    KB_LEG(z, -2 * span);
    const number b = by ? turned(*z, by->twice) : halved(*z);
    KB_LEG(z, -span);
    const number a = halved(*z), sum = {a.re + b.re, a.im + b.im}, gap = {a.re - b.re, a.im - b.im};
    *z = (number){sum.re + more.re, sum.im + more.im};
    KB_LEG(z, span);
    *z = (number){gap.re + side.im, gap.im - side.re};
    KB_LEG(z, span);
    *z = (number){sum.re - more.re, sum.im - more.im};
    KB_LEG(z, span);
    *z = (number){gap.re - side.im, gap.im + side.re};
    return z + span;
}

/* The butterflies of a pass whose legs are not turned. */
KB_APART void straight(number *z, const number *end, int32_t span)
{
    while (z < end)
        z = join(z, span, 0);
}

/* Those whose legs are, by all angles from `step` on. */
KB_APART void bent(number *z, const number *end, int32_t span, const int16_t *sine, int32_t step, int32_t quarter)
{
    for (int32_t j = 1, angle = step; j < span; j++, angle += step) {
        const turns by = {kb_turn_by(sine + angle, quarter), kb_turn_by(sine + 2 * angle, quarter),
                          kb_turn_by(sine + 3 * angle, quarter)};
        number *leg = z + j;
        do
            leg = join(leg, span, &by);
        while (leg < end);
    }
}

/* The Fourier transform in place; each pass of radix 4 halves. */
KB_APART void transform(number *z, const kb_logmel_s16_params *p)
{
    const int32_t size = p->points / 2;
    int32_t span = 1;
    if (p->odd) {
        halves(z, z + size);
        span = 2;
    }
    for (; span < size; span *= 4) {
        straight(z, z + size, span);
        bent(z, z + size, span, p->sine, p->points / (4 * span), p->points / 4);
    }
}

/* Those of its magnitudes, of which one below zero is 1 less. */
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
