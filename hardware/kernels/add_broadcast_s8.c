/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of int8 maps, broadcast. */
#include "kb_inline.h"

/* One value after the other, of which either map may have but one. */
KB_APART void add_row(const int8_t *a, const int8_t *b, int8_t *out, const kb_add_broadcast_s8_params *p)
{
    const kb_add_s8_params s = p->sum;
    const int32_t step_a = p->grid.a[2], step_b = p->grid.b[2];
    for (int8_t *end = out + s.count; out < end; a += step_a, b += step_b) {
        const int64_t sum = (int64_t)(*a - s.zero_a) * s.multiplier_a + (int64_t)(*b - s.zero_b) * s.multiplier_b;
        *out++ = kb_saturate(kb_requantise_once(sum, 1, s.shift) + s.out_zero, s.low);
    }
}

KB_KERNEL void kb_add_broadcast_s8(const int8_t *a, const int8_t *b, int8_t *out, const kb_add_broadcast_s8_params *p)
{
    const kb_broadcast *g = &p->grid;
    const int32_t alike = g->a[2] == 1 && g->b[2] == 1;
    for (int32_t y = 0; y < g->size[0]; y++)
        for (int32_t x = 0; x < g->size[1]; x++, out += g->size[2]) {
            const int8_t *of_a = a + y * g->a[0] + x * g->a[1], *of_b = b + y * g->b[0] + x * g->b[1];
            if (alike)
                kb_add_s8(of_a, of_b, out, &p->sum);
            else
                add_row(of_a, of_b, out, p);
        }
}
