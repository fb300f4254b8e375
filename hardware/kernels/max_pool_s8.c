/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_dsp.h"
#include "kb_inline.h"

/* `count` channels of one pixel, whose window starts at `x`. */
KB_INLINE void block(const int8_t *x, int8_t *out, const kb_max_pool_params *p, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, next = (g->in.width - g->kernel_w) * channels;
    int8_t best[4];
    for (int32_t j = 0; j < count; j++)
        best[j] = x[j];
    for (int32_t ky = g->kernel_h; ky > 0; ky--, x += next)
        for (int32_t kx = g->kernel_w; kx > 0; kx--, x += channels)
            for (int32_t j = 0; j < count; j++)
                best[j] = x[j] > best[j] ? x[j] : best[j];
    for (int32_t j = 0; j < count; j++)
        out[j] = best[j];
}

#ifdef __ARM_FEATURE_DSP
/* The same for four channels in each of `count` words. */
KB_INLINE void words(const int8_t *x, int8_t *out, const kb_max_pool_params *p, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, next = (g->in.width - g->kernel_w) * channels;
    uint32_t best[4];
    for (int32_t j = 0; j < count; j++)
        best[j] = kb_load4(x + 4 * j);
    for (int32_t ky = g->kernel_h; ky > 0; ky--, x += next)
        for (int32_t kx = g->kernel_w; kx > 0; kx--, x += channels)
            for (int32_t j = 0; j < count; j++)
                best[j] = kb_max4(kb_load4(x + 4 * j), best[j]);
    __builtin_memcpy(out, best, 4 * (uint32_t)count);
}

KB_APART void pixel(const int8_t *x, int8_t *out, const kb_max_pool_params *p)
{
    int32_t c = 0;
    for (; c + 16 <= p->window.in.channels; c += 16)
        words(x + c, out + c, p, 4);
    for (; c + 4 <= p->window.in.channels; c += 4)
        words(x + c, out + c, p, 1);
    for (; c < p->window.in.channels; c++)
        block(x + c, out + c, p, 1);
}
#else
KB_APART void pixel(const int8_t *x, int8_t *out, const kb_max_pool_params *p)
{
#define STEP(c, count) block(x + c, out + c, p, count)
    KB_FOR_CHANNELS(p->window.in.channels, STEP);
#undef STEP
}
#endif

KB_KERNEL void kb_max_pool_s8(const int8_t *in, int8_t *out, const kb_max_pool_params *p, const kb_region *r)
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
