/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_bits.h"

/* acc >= threshold of 32 channels, as 2c + taps - m >= level, where `level` has slice 1/2 first
   (kilobench/compile/ops/_bits.py). */
KB_APART uint32_t reached(const kb_bits *b, const uint32_t *level, int32_t start_is_odd)
{
    uint32_t borrow = start_is_odd ? 0 : *level;
    KB_NO_UNROLL
    for (int32_t i = 0; i < b->bits; i++) {
        const uint32_t below = ~b->count[i], l = level[1 + i];
        borrow = (below & (l | borrow)) | (l & borrow);
    }
    return ~borrow;
}

KB_KERNEL void kb_conv2d_b1(const uint32_t *in, uint32_t *out, void *scratch, const kb_conv2d_b1_params *p,
                            const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t groups = kb_words(g->out.channels);
    kb_bits b;
    kb_bits_begin(&b, g, p->weight, scratch);
    for (int32_t y = r->y; y < r->y_end; y++) {
        uint32_t *to = out + (y * g->out.width + r->x) * groups;
        kb_bits_row(&b, y, r->x);
        for (int32_t x = r->x; x < r->x_end; x++) {
            kb_bits_pixel(&b, in, x);
            const int32_t start = b.taps - b.set;
            const uint32_t *level = p->level + b.place * groups * (b.bits + 1);
            for (int32_t group = 0; group < groups; group++) {
                kb_bits_count(&b, group, start >> 1);
                *to++ = reached(&b, level, start & 1) ^ p->flip[group];
                level += b.bits + 1;
            }
        }
    }
}
