/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_few.h"

KB_KERNEL void kb_conv2d_b1_few(const uint32_t *in, uint32_t *out, void *scratch, const kb_conv2d_b1_params *p,
                                const kb_region *r)
{
    const kb_window *g = &p->window;
    kb_few f;
    kb_few_begin(&f, g, p->weight, scratch);
    for (int32_t y = r->y; y < r->y_end; y++) {
        uint32_t *to = out + y * g->out.width + r->x;
        kb_few_row(&f, in, y);
        for (int32_t x = r->x; x < r->x_end; x++) {
            uint32_t sums[32];
            *to++ = kb_few_pixel(&f, x, p->level, sums) ^ *p->flip;
        }
    }
}
