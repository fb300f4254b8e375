/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_dsp.h"
#include "kb_inline.h"

/* Both factors in halves, m = high * 2^16 + low with low signed, so that 32 bits hold every sum:
   floor((high * 2^16 + low) * 2^-t) is (high + (low >> 16)) >> (t - 16). Zero points and the half that rounds are in
   the offsets. */
typedef struct {
    int32_t high_a, high_b, low_a, low_b, high, low, shift, least;
} halves;

/* Whether 32 bits hold the halves of the factors and the offsets. */
KB_INLINE int fits(const kb_add_s8_params *p)
{
    const int32_t largest = kb_max(p->multiplier_a, p->multiplier_b);
    return largest < 0x7FFF8000 && p->shift > 16 && p->shift <= 38;
}

KB_INLINE halves split(const kb_add_s8_params *p)
{
    halves h = {(p->multiplier_a + 0x8000) >> 16,
                (p->multiplier_b + 0x8000) >> 16,
                (int16_t)(p->multiplier_a & 0xFFFF),
                (int16_t)(p->multiplier_b & 0xFFFF),
                0,
                0,
                p->shift - 16,
                p->low};
    h.high = (1 << (h.shift - 1)) + p->out_zero * (1 << h.shift) - p->zero_a * h.high_a - p->zero_b * h.high_b;
    h.low = -p->zero_a * h.low_a - p->zero_b * h.low_b;
    return h;
}

KB_INLINE int8_t add(const halves *h, int32_t a, int32_t b)
{
    const int32_t low = h->low + a * h->low_a + b * h->low_b;
    const int32_t high = h->high + a * h->high_a + b * h->high_b;
    return (int8_t)kb_min(kb_max((high + (low >> 16)) >> h->shift, h->least), 127);
}

#ifdef __ARM_FEATURE_DSP
/* The same of a pair: a in the low halfword, b in the high one. */
KB_INLINE int8_t add_pair(const halves *h, uint32_t high_ab, uint32_t low_ab, uint32_t pair)
{
    const int32_t low = kb_smlad(pair, low_ab, h->low), high = kb_smlad(pair, high_ab, h->high);
    return (int8_t)kb_max(kb_ssat8((high + (low >> 16)) >> h->shift), h->least);
}

/* Fours of elements; how many that were. */
KB_APART int32_t add_fours(const int8_t *a, const int8_t *b, int8_t *out, const kb_add_s8_params *p)
{
    const halves h = split(p);
    const uint32_t high_ab = (uint32_t)h.high_b << 16 | (h.high_a & 0xFFFF);
    const uint32_t low_ab = (uint32_t)h.low_b << 16 | (h.low_a & 0xFFFF);
    const int32_t count = p->count & ~3;
    for (const int8_t *end = out + count; out < end; out += 4, a += 4, b += 4) {
        const uint32_t x = kb_load4(a), y = kb_load4(b);
        uint32_t x_half = kb_sxtb16(x), y_half = kb_sxtb16(y);
        out[0] = add_pair(&h, high_ab, low_ab, (x_half & 0xFFFF) | y_half << 16);
        out[2] = add_pair(&h, high_ab, low_ab, x_half >> 16 | (y_half & 0xFFFF0000));
        x_half = kb_sxtb16_odd(x);
        y_half = kb_sxtb16_odd(y);
        out[1] = add_pair(&h, high_ab, low_ab, (x_half & 0xFFFF) | y_half << 16);
        out[3] = add_pair(&h, high_ab, low_ab, x_half >> 16 | (y_half & 0xFFFF0000));
    }
    return count;
}
#endif

/* Both inputs brought to the output's scale with one rounding. */
KB_KERNEL void kb_add_s8(const int8_t *a, const int8_t *b, int8_t *out, const kb_add_s8_params *p)
{
    int32_t i = 0;
    if (fits(p)) {
        const halves h = split(p);
#ifdef __ARM_FEATURE_DSP
        i = add_fours(a, b, out, p);
#endif
        for (; i < p->count; i++)
            out[i] = add(&h, a[i], b[i]);
    }
    for (; i < p->count; i++) {
        const int64_t sum =
            (int64_t)(a[i] - p->zero_a) * p->multiplier_a + (int64_t)(b[i] - p->zero_b) * p->multiplier_b;
        out[i] = kb_saturate(kb_requantise_once(sum, 1, p->shift) + p->out_zero, p->low);
    }
}
