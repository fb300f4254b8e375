/* SPDX-License-Identifier: Apache-2.0 */
/* Average pooling of float maps. */
#include "kb_generic.h"

/* `count` channels of one pixel, whose window starts at `x`. */
KB_INLINE void block(const float *x, float *out, const kb_avg_pool_f32_params *p, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, next = (g->in.width - g->kernel_w) * channels;
    float sum[4] = {0, 0, 0, 0};
    for (int32_t ky = g->kernel_h; ky > 0; ky--, x += next)
        for (int32_t kx = g->kernel_w; kx > 0; kx--, x += channels) {
            KB_UNROLL
            for (int32_t j = 0; j < count; j++)
                sum[j] += x[j];
        }
    KB_UNROLL
    for (int32_t j = 0; j < count; j++)
        out[j] = sum[j] * p->scale;
}

KB_POOL_PIXEL(float, kb_avg_pool_f32_params)
KB_POOL(kb_avg_pool_f32, float, kb_avg_pool_f32_params)

#define BEGIN {.window = *g}
#define FACTOR(q, p, row, column) q.scale = p->scale[KB_FACTOR_AT(p, row, column)]
KB_PADDED_POOL(kb_padded_avg_pool_f32, float, kb_padded_avg_pool_f32_params, kb_avg_pool_f32_params, BEGIN, FACTOR)
