/* Convolution of an int16 map, the input of a network, with int8 weights kept at 16 bits; int8 output.

   Columns of the input (all kernel rows of one x, all channels) are gathered once per block of output pixels; a pixel's taps
   are then consecutive, and neighbouring pixels share columns. Padding is 0. The lowering has seen to it that no sum of
   products leaves int32. */
#include "kb_inline.h"
#include "kb_dsp.h"

/* acc plus two products; x and w are aligned to words. */
KB_INLINE int32_t two_taps(const int16_t *x, const int16_t *w, int32_t acc)
{
#ifdef __ARM_FEATURE_DSP
    uint32_t a, b;
    __builtin_memcpy(&a, __builtin_assume_aligned(x, 4), 4);
    __builtin_memcpy(&b, __builtin_assume_aligned(w, 4), 4);
    return kb_smlad(a, b, acc);
#else
    return acc + x[0] * w[0] + x[1] * w[1];
#endif
}

KB_INLINE int8_t requantise(int32_t acc, const int32_t *channel, const kb_conv2d_s16_params *p)
{
    const int32_t value = channel[3] > 0 ? kb_multiply_high(acc, channel[1], channel[2]) >> channel[3]
                                         : kb_requantise(acc, channel[1], -channel[3]) + p->out_zero;
    return kb_saturate(value, p->low);
}

/* All channels of `pixels` pixels, 1 or 4, that are `step` halves apart. */
KB_INLINE void make(const int16_t *x, int32_t step, int8_t *out, const kb_conv2d_s16_params *p, const int32_t pixels,
                    const int32_t taps)
{
    const int32_t channels = p->window.out.channels;
    const int32_t *channel = p->channel;
    const int16_t *w = p->weight;
    for (int32_t o = 0; o < channels; o++, channel += 4, w += taps) {
        int32_t acc[4];
        for (int32_t i = 0; i < pixels; i++)
            acc[i] = channel[0];
        for (int32_t k = 0; k < taps; k += 2)
            for (int32_t i = 0; i < pixels; i++)
                acc[i] = two_taps(x + i * step + k, w + k, acc[i]);
        for (int32_t i = 0; i < pixels; i++)
            out[i * channels + o] = requantise(acc[i], channel, p);
    }
}

KB_APART void one_pixel(const int16_t *x, int8_t *out, const kb_conv2d_s16_params *p)
{
    make(x, 0, out, p, 1, p->taps);
}

KB_APART void four_pixels(const int16_t *x, int32_t step, int8_t *out, const kb_conv2d_s16_params *p)
{
    make(x, step, out, p, 4, p->taps);
}

/* The same for nine taps of one row and channel, every second one: the first layer of ACDNet. */
KB_APART void four_of_nine_taps(const int16_t *x, int8_t *out, const kb_conv2d_s16_params *p)
{
    make(x, 2, out, p, 4, 10);
}

/* `count` halves of a row, 0 where `from` is NULL. */
KB_INLINE void copy(int16_t *to, const int16_t *from, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        to[i] = from ? from[i] : 0;
}

/* `count` columns, their parts of one row. */
KB_INLINE void copy_row(int16_t *to, const int16_t *from, int32_t channels, int32_t column, int32_t count)
{
    if (column == channels) {
        copy(to, from, channels * count);
        return;
    }
    for (int32_t i = 0; i < count; i++)
        copy(to + i * column, from ? from + i * channels : 0, channels);
}

/* `count` columns from x on, rows y on. What fills up a column is multiplied by weights of 0 and left as it is. */
KB_APART void fill(const int16_t *in, int16_t *to, const kb_conv2d_s16_params *p, int32_t y, int32_t x, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, column = p->column;
    const kb_span inside = kb_clip(x, count, g->in.width);
    for (int32_t row = y; row < y + g->kernel_h; row++, to += channels) {
        if (row < 0 || row >= g->in.height) {
            copy_row(to, 0, channels, column, count);
            continue;
        }
        const int16_t *const from = in + (row * g->in.width + x + inside.from) * channels;
        copy_row(to, 0, channels, column, inside.from);
        copy_row(to + inside.from * column, from, channels, column, inside.to - inside.from);
        copy_row(to + inside.to * column, 0, channels, column, count - inside.to);
    }
}

KB_KERNEL void kb_conv2d_s16(const int16_t *in, int8_t *out, void *scratch, const kb_conv2d_s16_params *p,
                             const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t step = g->stride_w * p->column, channels = g->out.channels;
    int16_t *const columns = scratch;
    for (int32_t y = r->y; y < r->y_end; y++)
        for (int32_t x = r->x; x < r->x_end; x += p->block) {
            const int32_t count = kb_min(p->block, r->x_end - x);
            int8_t *to = out + (y * g->out.width + x) * channels;
            int32_t i = 0;
            fill(in, columns, p, y * g->stride_h - g->pad_h, x * g->stride_w - g->pad_w,
                 (count - 1) * g->stride_w + g->kernel_w);
            for (; i + 4 <= count; i += 4)
                if (step == 2 && p->taps == 10)
                    four_of_nine_taps(columns + i * step, to + i * channels, p);
                else
                    four_pixels(columns + i * step, step, to + i * channels, p);
            for (; i < count; i++)
                one_pixel(columns + i * step, to + i * channels, p);
        }
}
