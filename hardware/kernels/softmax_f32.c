/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_exponential.h"

KB_KERNEL void kb_softmax_f32(const float *in, float *out, const kb_softmax_f32_params *p, const kb_region *r)
{
    const int32_t channels = p->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const float *x = in + (y * p->in.width + r->x) * channels;
        float *to = out + (y * p->in.width + r->x) * channels;
        for (int32_t left = r->x_end - r->x; left > 0; left--, x += channels, to += channels) {
            float largest = x[0], sum = 0;
            for (int32_t c = 1; c < channels; c++)
                largest = x[c] > largest ? x[c] : largest;
            for (int32_t c = 0; c < channels; c++) {
                to[c] = kb_exponential(x[c] - largest);
                sum += to[c];
            }
            const float factor = 1.0f / sum;
            for (int32_t c = 0; c < channels; c++)
                to[c] *= factor;
        }
    }
}
