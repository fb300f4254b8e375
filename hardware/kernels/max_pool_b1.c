#include "kb_inline.h"

void kb_max_pool_b1(const uint32_t *in, uint32_t *out, const kb_max_pool_b1_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = kb_words(g->in.channels);
    for (int32_t y = r->y; y < r->y_end; y++) {
        uint32_t *to = out + (y * g->out.width + r->x) * channels;
        for (int32_t x = r->x; x < r->x_end; x++)
            for (int32_t c = 0; c < channels; c++) {
                const uint32_t *corner = in + (y * g->stride_h * g->in.width + x * g->stride_w) * channels + c;
                uint32_t any = 0;
                for (int32_t ky = 0; ky < g->kernel_h; ky++)
                    for (int32_t kx = 0; kx < g->kernel_w; kx++) {
                        const uint32_t value = corner[(ky * g->in.width + kx) * channels];
                        any |= value;
                    }
                *to++ = p->flip ? any ^ p->flip[c] : any;
            }
    }
}
