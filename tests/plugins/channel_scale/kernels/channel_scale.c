/* SPDX-License-Identifier: Apache-2.0 */
#include "channel_scale.h"
#include "kb_inline.h"

void kb_channel_scale_f32(const float *in, float *out, const kb_channel_scale_f32_params *p, const kb_region *r)
{
    for (int32_t y = r->y; y < r->y_end; y++)
        for (int32_t x = r->x; x < r->x_end; x++)
            for (int32_t c = 0; c < p->in.channels; c++) {
                const int32_t i = (y * p->in.width + x) * p->in.channels + c;
                out[i] = in[i] * p->scale[c];
            }
}

void kb_channel_scale_s8(const int8_t *in, int8_t *out, const kb_channel_scale_s8_params *p, const kb_region *r)
{
    for (int32_t y = r->y; y < r->y_end; y++)
        for (int32_t x = r->x; x < r->x_end; x++)
            for (int32_t c = 0; c < p->in.channels; c++) {
                const int32_t i = (y * p->in.width + x) * p->in.channels + c;
                const int32_t scaled = kb_requantise(in[i] - p->in_zero, p->multiplier[c], p->shift[c]);
                out[i] = kb_saturate(scaled + p->out_zero, -128);
            }
}
