/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of every channel with a kernel of its own, pixel by pixel, by whose kernels it is included: with
   KB_TWICE before, results are rounded twice. Taps on padding hold the zero point, that is 0, and are skipped. */
#ifndef KB_DEPTHWISE_CONV2D_S8_H
#define KB_DEPTHWISE_CONV2D_S8_H

#include "kb_depthwise.h"
#include "kb_dsp.h"

/* The taps of a pixel that lie in the map, of channel 0, and where its output is; for depthwise_conv2d_s8_dsp.h, each at
   four times its place. */
typedef struct {
    const int8_t *x, *w;
    int32_t rows, row, x_line, w_line; /* bytes of a row; from one to the next */
    int8_t *out;
    int32_t channels;
    const int32_t *channel; /* 32 */
    int32_t in_zero, out_zero, low;
} patch;

/* `count` channels from c on. */
KB_INLINE void block(const patch *t, int32_t c, int32_t count)
{
    const int8_t *x = t->x + c, *w = t->w + c;
    int32_t acc[4] = {0, 0, 0, 0};
    KB_NO_UNROLL
    for (int32_t rows = t->rows; rows > 0; rows--, x += t->x_line, w += t->w_line) {
        KB_NO_UNROLL
        for (int32_t i = 0; i < t->row; i += t->channels)
            for (int32_t j = 0; j < count; j++)
                acc[j] += (x[i + j] - t->in_zero) * w[i + j];
    }
    for (int32_t j = 0; j < count; j++) {
        const scaling s = scaling_of(t->channel + 3 * (c + j), t->out_zero);
        t->out[c + j] = finish(&s, acc[j] * (1 << s.left) + s.bias, t->low);
    }
}

#ifdef __ARM_FEATURE_DSP
#include "depthwise_conv2d_s8_dsp.h"
#else
KB_INLINE void pixel(const patch *t)
{
#define STEP(c, count) block(t, c, count)
    KB_FOR_CHANNELS(t->channels, STEP);
#undef STEP
}
#endif

KB_INLINE void convolve(const int8_t *in, int8_t *out, const kb_depthwise_conv2d_s8_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
    patch t = {.x_line = g->in.width * channels, .w_line = g->kernel_w * channels, .channels = channels,
               .channel = p->channel, .in_zero = p->in_zero, .out_zero = p->out_zero, .low = p->low};
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        t.out = out + (y * g->out.width + r->x) * channels;
        for (int32_t x = r->x; x < r->x_end; x++, t.out += channels) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
            t.x = in + ((row.start + row.from) * g->in.width + column.start + column.from) * channels;
            t.w = p->weight + (row.from * g->kernel_w + column.from) * channels;
            t.row = (column.to - column.from) * channels;
            t.rows = row.to - row.from;
            if (t.row == t.x_line && t.row == t.w_line) { /* taps that follow one another: as one row */
                t.row *= t.rows;
                t.rows = 1;
            }
            pixel(&t);
        }
    }
}

#endif
