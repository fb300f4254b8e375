#include "kb_inline.h"

/* `count` channels of one pixel. The order of the sum is fixed: rows, columns, then the bias. */
KB_INLINE void block(const float *in, float *out, const kb_depthwise_conv2d_f32_params *p, kb_span row, kb_span column,
                     int32_t c, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    float acc[4] = {0, 0, 0, 0};
    for (int32_t ky = row.from; ky < row.to; ky++) {
        const float *x = in + ((row.start + ky) * g->in.width + column.start + column.from) * channels + c;
        const float *w = p->weight + (ky * g->kernel_w + column.from) * channels + c;
        for (int32_t kx = column.from; kx < column.to; kx++, x += channels, w += channels)
            for (int32_t j = 0; j < count; j++)
                acc[j] += x[j] * w[j];
    }
    for (int32_t j = 0; j < count; j++) {
        const float value = acc[j] + p->bias[c + j];
        out[c + j] = p->relu && value < 0.0f ? 0.0f : value;
    }
}

KB_KERNEL void kb_depthwise_conv2d_f32(const float *in, float *out, void *scratch,
                                       const kb_depthwise_conv2d_f32_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    (void)scratch;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        float *to = out + (y * g->out.width + r->x) * g->out.channels;
        for (int32_t x = r->x; x < r->x_end; x++) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
#define STEP(c, count) block(in, to, p, row, column, c, count)
            KB_FOR_CHANNELS(g->out.channels, STEP);
#undef STEP
            to += g->out.channels;
        }
    }
}
