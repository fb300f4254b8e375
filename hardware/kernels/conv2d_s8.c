#include "kb_inline.h"

/* Padded taps hold the zero point, which the bias has already been corrected for. */
KB_INLINE void padded(const int8_t *w, int32_t stride, int32_t n, int32_t zero, int32_t count, int32_t *acc)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < count; j++)
            acc[j] += zero * w[j * stride + i];
}

/* One pixel, `count` output channels. */
KB_INLINE void pixel(const int8_t *in, int8_t *out, const kb_conv2d_s8_params *p, kb_span row, kb_span column,
                     int32_t o, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, line = g->kernel_w * channels, stride = g->kernel_h * line;
    const int32_t first = column.from * channels, last = column.to * channels;
    int32_t acc[4];
    for (int32_t j = 0; j < count; j++)
        acc[j] = p->bias[o + j];
    for (int32_t ky = 0; ky < g->kernel_h; ky++) {
        const int8_t *w = p->weight + o * stride + ky * line;
        if (ky < row.from || ky >= row.to) {
            padded(w, stride, line, p->in_zero, count, acc);
            continue;
        }
        const int8_t *x = in + ((row.start + ky) * g->in.width + column.start) * channels;
        padded(w, stride, first, p->in_zero, count, acc);
        for (int32_t i = first; i < last; i++)
            for (int32_t j = 0; j < count; j++)
                acc[j] += x[i] * w[j * stride + i];
        padded(w + last, stride, line - last, p->in_zero, count, acc);
    }
    for (int32_t j = 0; j < count; j++)
        out[o + j] = kb_saturate(kb_requantise(acc[j], p->multiplier[o + j], p->shift[o + j]), p->out_zero, p->low);
}

void kb_conv2d_s8(const int8_t *in, int8_t *out, const kb_conv2d_s8_params *p)
{
    const kb_window *g = &p->window;
    for (int32_t y = 0; y < g->out.height; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        for (int32_t x = 0; x < g->out.width; x++) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
#define STEP(o, count) pixel(in, out, p, row, column, o, count)
            KB_FOR_CHANNELS(g->out.channels, STEP);
#undef STEP
            out += g->out.channels;
        }
    }
}
