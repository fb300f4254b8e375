/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of every channel with a kernel of its own, by whose kernels it is included: with KB_TWICE before,
   results are rounded twice. On cores with the DSP extension four channels at a time
   (depthwise_conv2d_s8_dsp.h), elsewhere, and of fewer channels, pixel by pixel. */
#ifndef KB_DEPTHWISE_CONV2D_S8_H
#define KB_DEPTHWISE_CONV2D_S8_H

#include "kb_inline.h"

/* What of a shift is done already where the upper word of a product is taken. */
#ifdef KB_TWICE
#define SHIFTED (64 + 31)
#else
#define SHIFTED 32
#endif

KB_INLINE int32_t scaled(int32_t acc, int32_t multiplier, int32_t shift)
{
#ifdef KB_TWICE
    if (shift >= SHIFTED)
        return kb_round_small_twice(acc, multiplier, shift - SHIFTED);
#endif
    return kb_requantise(acc, multiplier, shift);
}

#ifdef __ARM_FEATURE_DSP
#include "depthwise_conv2d_s8_dsp.h"
#endif

KB_INLINE int8_t finish(const kb_depthwise_conv2d_s8_params *p, int32_t acc, int32_t c)
{
    return kb_saturate(scaled(acc, p->multiplier[c], p->shift[c]) + p->out_zero, p->low);
}

/* `count` channels of one pixel. Taps on padding hold the zero point, that is 0, and are skipped. */
KB_INLINE void block(const int8_t *in, int8_t *out, const kb_depthwise_conv2d_s8_params *p, kb_span row, kb_span column,
                     int32_t c, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    int32_t acc[4];
    for (int32_t j = 0; j < count; j++)
        acc[j] = p->bias[c + j];
    for (int32_t ky = row.from; ky < row.to; ky++) {
        const int8_t *x = in + ((row.start + ky) * g->in.width + column.start + column.from) * channels + c;
        const int8_t *w = p->weight + (ky * g->kernel_w + column.from) * channels + c;
        for (int32_t kx = column.from; kx < column.to; kx++, x += channels, w += channels)
            for (int32_t j = 0; j < count; j++)
                acc[j] += (x[j] - p->in_zero) * w[j];
    }
    for (int32_t j = 0; j < count; j++)
        out[c + j] = finish(p, acc[j], c + j);
}

KB_INLINE void convolve(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                        const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
#ifdef __ARM_FEATURE_DSP
    if (channels >= QUAD) {
        by_quads(in, out, scratch, p, r);
        return;
    }
#endif
    (void)scratch;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        int8_t *to = out + (y * g->out.width + r->x) * channels;
        for (int32_t x = r->x; x < r->x_end; x++, to += channels) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
#define STEP(c, count) block(in, to, p, row, column, c, count)
            KB_FOR_CHANNELS(channels, STEP);
#undef STEP
        }
    }
}

#endif
