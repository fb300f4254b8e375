/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

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

KB_APART void pixel(const int8_t *x, int8_t *out, const kb_avg_pool_s8_params *p)
{
#define STEP(c, count) block(x + c, out + c, p, count)
    KB_FOR_CHANNELS(p->window.in.channels, STEP);
#undef STEP
}

KB_KERNEL void kb_avg_pool_s8(const int8_t *in, int8_t *out, const kb_avg_pool_s8_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const int8_t *from = in + (y * g->stride_h * g->in.width + r->x * g->stride_w) * channels;
        int8_t *to = out + (y * g->out.width + r->x) * channels;
        for (int32_t x = r->x; x < r->x_end; x++, from += g->stride_w * channels, to += channels)
            pixel(from, to, p);
    }
}
