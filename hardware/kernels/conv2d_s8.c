#include "kb_inline.h"

/* One pixel, `count` output channels. Taps on padding hold the zero point, that is 0, and are skipped. */
KB_INLINE void pixel(const int8_t *in, int8_t *out, const kb_conv2d_s8_params *p, kb_span row, kb_span column,
                     int32_t o, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, stride = g->kernel_h * g->kernel_w * channels;
    const int32_t taps = (column.to - column.from) * channels;
    int32_t acc[4];
    for (int32_t j = 0; j < count; j++)
        acc[j] = p->bias[o + j];
    for (int32_t ky = row.from; ky < row.to; ky++) {
        const int8_t *x = in + ((row.start + ky) * g->in.width + column.start + column.from) * channels;
        const int8_t *w = p->weight + o * stride + (ky * g->kernel_w + column.from) * channels;
        for (int32_t i = 0; i < taps; i++) {
            const int32_t value = x[i] - p->in_zero;
            for (int32_t j = 0; j < count; j++)
                acc[j] += value * w[j * stride + i];
        }
    }
    for (int32_t j = 0; j < count; j++)
        out[o + j] = kb_saturate(kb_requantise(acc[j], p->multiplier[o + j], p->shift[o + j]), p->out_zero, p->low);
}

void kb_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                  const kb_region *r)
{
    const kb_window *g = &p->window;
    (void)scratch;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        int8_t *to = out + (y * g->out.width + r->x) * g->out.channels;
        for (int32_t x = r->x; x < r->x_end; x++) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
#define STEP(o, count) pixel(in, to, p, row, column, o, count)
            KB_FOR_CHANNELS(g->out.channels, STEP);
#undef STEP
            to += g->out.channels;
        }
    }
}
