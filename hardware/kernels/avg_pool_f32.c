#include "kb_inline.h"

void kb_avg_pool_f32(const float *in, float *out, const kb_avg_pool_f32_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        float *to = out + (y * g->out.width + r->x) * channels;
        for (int32_t x = r->x; x < r->x_end; x++)
            for (int32_t c = 0; c < channels; c++) {
                const float *corner = in + (y * g->stride_h * g->in.width + x * g->stride_w) * channels + c;
                float sum = 0.0f;
                for (int32_t ky = 0; ky < g->kernel_h; ky++)
                    for (int32_t kx = 0; kx < g->kernel_w; kx++) {
                        const float value = corner[(ky * g->in.width + kx) * channels];
                        sum += value;
                    }
                *to++ = sum * p->scale;
            }
    }
}
