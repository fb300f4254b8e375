/* SPDX-License-Identifier: Apache-2.0 */
/* Average pooling of int8 maps. */
#include "kb_generic.h"

/* `count` channels of one pixel, whose window starts at `x`. */
KB_INLINE void block(const int8_t *x, int8_t *out, const kb_avg_pool_s8_params *p, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, next = (g->in.width - g->kernel_w) * channels;
    const int32_t zeros = g->kernel_h * g->kernel_w * p->in_zero;
    int32_t sum[4] = {-zeros, -zeros, -zeros, -zeros};
    for (int32_t ky = g->kernel_h; ky > 0; ky--, x += next)
        for (int32_t kx = g->kernel_w; kx > 0; kx--, x += channels)
            for (int32_t j = 0; j < count; j++)
                sum[j] += x[j];
    for (int32_t j = 0; j < count; j++)
        out[j] = kb_saturate(kb_requantise(sum[j], p->multiplier, p->shift) + p->out_zero, -128);
}

KB_POOL_PIXEL(int8_t, kb_avg_pool_s8_params)
KB_POOL(kb_avg_pool_s8, int8_t, kb_avg_pool_s8_params)
