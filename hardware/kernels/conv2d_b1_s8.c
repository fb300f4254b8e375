/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_bits.h"

KB_KERNEL void kb_conv2d_b1_s8(const uint32_t *in, int8_t *out, void *scratch, const kb_conv2d_b1_s8_params *p,
                               const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->out.channels;
    kb_bits b;
    kb_bits_begin(&b, g, p->weight, scratch);
    for (int32_t y = r->y; y < r->y_end; y++) {
        int8_t *to = out + (y * g->out.width + r->x) * channels;
        kb_bits_row(&b, y, r->x);
        for (int32_t x = r->x; x < r->x_end; x++) {
            kb_bits_pixel(&b, in, x);
            const uint16_t *positive = p->positive + b.place * channels;
            for (int32_t first = 0; first < channels; first += 32) {
                int32_t sums[32];
                kb_bits_count(&b, first / 32, 0);
                kb_bits_sums(&b, sums);
                for (int32_t o = first; o < kb_min(first + 32, channels); o++) {
                    const int32_t acc = 256 * (sums[o - first] - 2 * positive[o]) + p->bias[o];
                    *to++ = kb_saturate(kb_requantise(acc, p->multiplier[o], p->shift[o]) + p->out_zero, p->low);
                }
            }
        }
    }
}
