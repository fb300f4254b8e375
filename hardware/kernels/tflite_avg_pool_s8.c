/* SPDX-License-Identifier: Apache-2.0 */
/* Average pooling of int8 maps as TFLite-Micro does it. */
#include "kb_inline.h"

KB_KERNEL void kb_tflite_avg_pool_s8(const int8_t *in, int8_t *out, const kb_tflite_avg_pool_s8_params *p,
                                     const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++)
        for (int32_t x = r->x; x < r->x_end; x++) {
            const kb_span rows = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
            const kb_span columns = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
            const int32_t high = rows.to - rows.from, wide = columns.to - columns.from, taps = high * wide;
            const int8_t *from =
                in + ((rows.start + rows.from) * g->in.width + columns.start + columns.from) * channels;
            int8_t *to = out + (y * g->out.width + x) * channels;
            for (int32_t c = 0; c < channels; c++) {
                int32_t sum = 0;
                for (int32_t i = 0; i < high; i++)
                    for (int32_t j = 0; j < wide; j++)
                        sum += from[(i * g->in.width + j) * channels + c];
                to[c] = (int8_t)((sum < 0 ? sum - taps / 2 : sum + taps / 2) / taps);
            }
        }
}
