/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_shared.h"

/* Slice `slice` of the level of each pixel, in its own lanes. */
KB_INLINE uint32_t level_of(const kb_shared *s, const uint32_t *levels, int32_t slice, int32_t differing)
{
    const int32_t lanes = 32 / s->together, slices = s->bits.bits + 1;
    uint32_t level = levels[s->pixels[0].place * slices + slice], own = ~0u >> (32 - lanes);
    KB_NO_UNROLL
    for (int32_t i = 1; i < differing; i++) {
        own <<= lanes;
        level ^= (level ^ levels[s->pixels[i].place * slices + slice]) & own;
    }
    return level;
}

/* acc >= threshold of all lanes, as 2c + taps - m >= level, where `level` has slice 1/2 first and is in all lanes
   (kilobench/compile/ops/_bits.py); taps - m is of 16 bits, and each pixel's in its own lanes. */
KB_APART uint32_t reached(const kb_shared *s, const uint32_t *levels, int32_t taps)
{
    const int32_t lanes = 32 / s->together, count = s->count;
    const int32_t differing = s->pixels[0].place == s->pixels[count - 1].place ? 1 : count;
    const uint32_t lane = ~0u >> (32 - lanes), unit = lanes == 8 ? 0x01010101 : 0x00010001;
    uint32_t low = 0, high = 0; /* bytes of taps - m, by pixel */
    KB_NO_UNROLL
    for (int32_t i = 0; i < count; i++) {
        const int32_t start = taps - s->pixels[i].set;
        low |= (uint32_t)(start & 255) << lanes * i;
        high |= (uint32_t)(start >> 8) << lanes * i;
    }
    uint32_t carry = 0, borrow = level_of(s, levels, 0, differing) & ~((low & unit) * lane);
    KB_NO_UNROLL
    for (int32_t slice = 1; slice <= s->bits.bits; slice++) {
        low = slice == 8 ? high : low >> 1;
        const uint32_t start = (low & unit) * lane, c = s->bits.count[slice - 1], odd = start ^ c;
        const uint32_t below = ~(odd ^ carry), level = level_of(s, levels, slice, differing);
        carry = (start & c) | (odd & carry);
        borrow = (below & (level | borrow)) | (level & borrow);
    }
    return carry | ~borrow;
}

KB_KERNEL void kb_conv2d_b1_shared(const uint32_t *in, uint32_t *out, void *scratch, const kb_conv2d_b1_params *p,
                                   const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t taps = g->kernel_h * g->kernel_w * g->in.channels;
    kb_shared s;
    kb_shared_begin(&s, g, p->weight, scratch, r);
    for (int32_t y = r->y; y < r->y_end; y++) {
        uint32_t *to = out + y * g->out.width + r->x;
        kb_bits_row(&s.bits, y, 0);
        for (int32_t x = r->x; x < r->x_end; x += s.together) {
            kb_shared_pixels(&s, in, x);
            kb_bits_count(&s.bits, 0, 0);
            uint32_t bits = reached(&s, p->level, taps) ^ *p->flip;
            for (int32_t i = 0; i < s.count; i++, bits >>= 32 / s.together)
                *to++ = bits & ~0u >> (32 - 32 / s.together);
        }
    }
}
