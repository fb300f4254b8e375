#include "kb_inline.h"

/* One pixel, `count` output channels. The order of the sum is fixed: rows, columns, channels, then the bias. */
KB_INLINE void pixel(const float *in, float *out, const kb_conv2d_f32_params *p, kb_span row, kb_span column, int32_t o,
                     int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, stride = g->kernel_h * g->kernel_w * channels;
    float acc[4] = {0, 0, 0, 0};
    for (int32_t ky = row.from; ky < row.to; ky++) {
        const float *x = in + ((row.start + ky) * g->in.width + column.start + column.from) * channels;
        const float *w = p->weight + o * stride + (ky * g->kernel_w + column.from) * channels;
        for (int32_t i = 0; i < (column.to - column.from) * channels; i++)
            for (int32_t j = 0; j < count; j++)
                acc[j] += x[i] * w[j * stride + i];
    }
    for (int32_t j = 0; j < count; j++) {
        const float value = acc[j] + p->bias[o + j];
        out[o + j] = p->relu && value < 0.0f ? 0.0f : value;
    }
}

void kb_conv2d_f32(const float *in, float *out, void *scratch, const kb_conv2d_f32_params *p,
                  const kb_region *r)
{
    const kb_window *g = &p->window;
    (void)scratch;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        float *to = out + (y * g->out.width + r->x) * g->out.channels;
        for (int32_t x = r->x; x < r->x_end; x++) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
#define STEP(o, count) pixel(in, to, p, row, column, o, count)
            KB_FOR_CHANNELS(g->out.channels, STEP);
#undef STEP
            to += g->out.channels;
        }
    }
}
