/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

/* 256ths of the sum, rounded half up. Each of `table` is 2^23 at most, and the sum 2^31, so that 32 bits hold
 * everything. */
KB_KERNEL void kb_softmax_s8(const int8_t *in, int8_t *out, const kb_softmax_s8_params *p, const kb_region *r)
{
    const int32_t channels = p->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const int8_t *x = in + (y * p->in.width + r->x) * channels;
        int8_t *to = out + (y * p->in.width + r->x) * channels;
        for (int32_t left = r->x_end - r->x; left > 0; left--, x += channels, to += channels) {
            int32_t largest = x[0];
            uint32_t sum = 0;
            for (int32_t c = 1; c < channels; c++)
                largest = kb_max(x[c], largest);
            for (int32_t c = 0; c < channels; c++)
                sum += p->table[largest - x[c]];
            for (int32_t c = 0; c < channels; c++)
                to[c] = (int8_t)kb_min((int32_t)(((p->table[largest - x[c]] << 8) + sum / 2) / sum) - 128, 127);
        }
    }
}
