#include "kb_inline.h"

/* One pixel, `count` output channels: 256 * acc + bias requantised. */
KB_INLINE void pixel(const uint32_t *in, int8_t *out, const kb_conv2d_b1_s8_params *p, kb_span row, kb_span column,
                     int32_t o, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t stride = g->kernel_h * g->kernel_w * kb_words(g->in.channels);
    int32_t acc[4];
    kb_b1_accumulate(in, p->weight + o * stride, g, row, column, count, acc);
    for (int32_t j = 0; j < count; j++) {
        const int32_t sum = 256 * acc[j] + p->bias[o + j];
        out[o + j] = kb_saturate(kb_requantise(sum, p->multiplier[o + j], p->shift[o + j]) + p->out_zero, p->low);
    }
}

void kb_conv2d_b1_s8(const uint32_t *in, int8_t *out, void *scratch, const kb_conv2d_b1_s8_params *p,
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
