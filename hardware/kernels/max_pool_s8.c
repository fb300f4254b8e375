/* SPDX-License-Identifier: Apache-2.0 */
/* Maximum pooling of int8 maps. */
#include "kb_dsp.h"
#include "kb_generic.h"

KB_MAX_POOL_BLOCK(int8_t)

#ifdef __ARM_FEATURE_DSP
/* The same for four channels in each of `count` words. */
KB_INLINE void words(const int8_t *x, int8_t *out, const kb_max_pool_params *p, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, next = (g->in.width - g->kernel_w) * channels;
    uint32_t best[4];
    KB_UNROLL
    for (int32_t j = 0; j < count; j++)
        best[j] = kb_load4(x + 4 * j);
    for (int32_t ky = g->kernel_h; ky > 0; ky--, x += next)
        for (int32_t kx = g->kernel_w; kx > 0; kx--, x += channels) {
            KB_UNROLL
            for (int32_t j = 0; j < count; j++)
                best[j] = kb_max4(kb_load4(x + 4 * j), best[j]);
        }
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
KB_POOL_PIXEL(int8_t, kb_max_pool_params)
#endif

KB_POOL(kb_max_pool_s8, int8_t, kb_max_pool_params)

#define NO_FACTOR(q, p, row, column) (void)0
KB_PADDED_POOL(kb_padded_max_pool_s8, int8_t, kb_max_pool_params, kb_max_pool_params, *p, NO_FACTOR)
