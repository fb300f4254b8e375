/* SPDX-License-Identifier: Apache-2.0 */
/* Average pooling of int8 maps as TFLite-Micro does it. */
#include "kb_generic.h"

/* `count` channels of one pixel, whose window, all of it inside the map, starts at `x`. */
KB_INLINE void block(const int8_t *x, int8_t *out, const kb_tflite_avg_pool_s8_params *p, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, taps = g->kernel_h * g->kernel_w;
    int32_t sum[4] = {0, 0, 0, 0};
    for (int32_t ky = 0; ky < g->kernel_h; ky++)
        for (int32_t kx = 0; kx < g->kernel_w; kx++) {
            KB_UNROLL
            for (int32_t j = 0; j < count; j++)
                sum[j] += x[(ky * g->in.width + kx) * channels + j];
        }
    KB_UNROLL
    for (int32_t j = 0; j < count; j++)
        out[j] = (int8_t)((sum[j] < 0 ? sum[j] - taps / 2 : sum[j] + taps / 2) / taps);
}

#define NO_FACTOR(q, p, row, column) (void)0

KB_POOL_PIXEL(int8_t, kb_tflite_avg_pool_s8_params)
KB_PADDED_POOL(kb_tflite_avg_pool_s8, int8_t, kb_tflite_avg_pool_s8_params, kb_tflite_avg_pool_s8_params, *p, NO_FACTOR)
