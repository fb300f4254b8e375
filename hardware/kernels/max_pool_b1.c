/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

/* The OR of a window of one word per pixel; rows and pixels are `row` and `step` words apart. */
KB_INLINE uint32_t any(const uint32_t *in, int32_t row, int32_t step, const kb_window *g)
{
    uint32_t bits = 0;
    KB_NO_UNROLL
    for (int32_t ky = 0; ky < g->kernel_h; ky++) {
        const uint32_t *x = in;
        KB_NO_UNROLL
        for (int32_t left = g->kernel_w; left > 0; left--) {
            bits |= *x;
            x += step;
        }
        in += row;
    }
    return bits;
}

KB_KERNEL void kb_max_pool_b1(const uint32_t *in, uint32_t *out, const kb_max_pool_b1_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t words = kb_words(g->in.channels), row = g->in.width * words;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const uint32_t *corner = in + y * g->stride_h * row + r->x * g->stride_w * words;
        uint32_t *to = out + (y * g->out.width + r->x) * words;
        for (int32_t x = r->x; x < r->x_end; x++) {
            KB_NO_UNROLL
            for (int32_t i = 0; i < words; i++)
                *to++ = any(corner + i, row, words, g) ^ (p->flip ? p->flip[i] : 0);
            corner += g->stride_w * words;
        }
    }
}
