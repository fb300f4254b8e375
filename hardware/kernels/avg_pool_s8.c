#include "kb_inline.h"

void kb_avg_pool_s8(const int8_t *in, int8_t *out, const kb_avg_pool_s8_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        int8_t *to = out + (y * g->out.width + r->x) * channels;
        for (int32_t x = r->x; x < r->x_end; x++)
            for (int32_t c = 0; c < channels; c++) {
                const int8_t *corner = in + (y * g->stride_h * g->in.width + x * g->stride_w) * channels + c;
                int32_t sum = 0;
                for (int32_t ky = 0; ky < g->kernel_h; ky++)
                    for (int32_t kx = 0; kx < g->kernel_w; kx++) {
                        const int8_t value = corner[(ky * g->in.width + kx) * channels];
                        sum += value - p->in_zero;
                    }
                *to++ = kb_saturate(kb_requantise(sum, p->multiplier, p->shift) + p->out_zero, -128);
            }
    }
}
