#include "kb_dsp.h"
#include "kb_inline.h"

KB_INLINE int8_t finish(const kb_depthwise_conv2d_s8_params *p, int32_t acc, int32_t c)
{
    return kb_saturate(kb_requantise(acc, p->multiplier[c], p->shift[c]), p->out_zero, p->low);
}

/* `count` channels of one pixel. Taps on padding hold the zero point, that is 0, and are skipped. */
KB_INLINE void block(const int8_t *in, int8_t *out, const kb_depthwise_conv2d_s8_params *p, kb_span row,
                     kb_span column, int32_t c, int32_t count)
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

#ifdef __ARM_FEATURE_DSP
#define QUAD 4

/* Four channels at a time: the input is spread into planes of 16-bit values less the zero point, one plane per channel, with zeros
   for padding, so that one word holds two neighbours and one instruction adds two products. A plane keeps the last kernel_h rows,
   row y at y mod kernel_h, its words being [column][row]. Kernels are spread likewise, twice: for windows that start at the first
   half of a word, and at the second. */
typedef struct {
    const kb_depthwise_conv2d_s8_params *p;
    const kb_region *r;
    int32_t columns, taps; /* words in a row of a plane, and in a kernel row */
    uint32_t *planes;      /* [QUAD][columns][kernel_h] */
    uint32_t *kernels;     /* [QUAD][2][kernel_h][taps] */
    int32_t *sums;         /* of a row of one channel */
} quad;

/* Two neighbours, where they exist, of four channels. */
KB_INLINE void spread(const int8_t *from, int32_t next, uint32_t offset, int first, int second, uint32_t *to,
                      int32_t plane)
{
    const uint32_t a = first ? kb_load4(from) : 0, b = second ? kb_load4(from + next) : 0;
    const uint32_t a_even = first ? kb_sxtab16(offset, a) : 0, a_odd = first ? kb_sxtab16_odd(offset, a) : 0;
    const uint32_t b_even = second ? kb_sxtab16(offset, b) : 0, b_odd = second ? kb_sxtab16_odd(offset, b) : 0;
    to[0] = (a_even & 0xFFFF) | b_even << 16;
    to[plane] = (a_odd & 0xFFFF) | b_odd << 16;
    to[2 * plane] = a_even >> 16 | (b_even & 0xFFFF0000);
    to[3 * plane] = a_odd >> 16 | (b_odd & 0xFFFF0000);
}

/* Row y of the input, four channels from `in` on. */
KB_APART void spread_row(const quad *q, const int8_t *in, int32_t y)
{
    const kb_window *g = &q->p->window;
    const int32_t channels = g->in.channels, width = g->in.width, rows = g->kernel_h, plane = q->columns * rows;
    const int32_t start = q->r->x * g->stride_w - g->pad_w, end = start + 2 * q->columns;
    const uint32_t minus_zero = (uint32_t)-q->p->in_zero & 0xFFFF, offset = minus_zero << 16 | minus_zero;
    const int exists = y >= 0 && y < g->in.height;
    const int8_t *from = in + (y * width + start) * channels;
    uint32_t *to = q->planes + (y + rows) % rows;
    for (int32_t x = start; x < end; x += 2) {
        for (int32_t left = exists && x >= 0 ? (kb_min(end, width) - x) / 2 : 0; left > 0; left--, x += 2) {
            spread(from, channels, offset, 1, 1, to, plane);
            from += 2 * channels;
            to += rows;
        }
        if (x < end)
            spread(from, channels, offset, exists && x >= 0 && x < width, exists && x + 1 >= 0 && x + 1 < width, to,
                   plane);
        from += 2 * channels;
        to += rows;
    }
}

KB_APART void spread_kernels(const quad *q, int32_t c)
{
    const kb_window *g = &q->p->window;
    int16_t *to = (int16_t *)q->kernels;
    for (int32_t j = c; j < c + QUAD; j++)
        for (int32_t shift = 0; shift < 2; shift++)
            for (int32_t ky = 0; ky < g->kernel_h; ky++) {
                const int8_t *w = q->p->weight + ky * g->kernel_w * g->in.channels + j;
                for (int32_t i = -shift; i < 2 * q->taps - shift; i++)
                    *to++ = i >= 0 && i < g->kernel_w ? w[i * g->in.channels] : 0;
            }
}

/* One kernel row: its products are added to the sums of two pixels at a time. */
KB_INLINE void add_row(const quad *q, const uint32_t *v, const uint32_t *w, int32_t taps)
{
    const kb_window *g = &q->p->window;
    const int32_t stride = g->stride_w, step = g->kernel_h, pair = stride * step;
    const uint32_t *w_next = stride & 1 ? w + g->kernel_h * taps : w, *v_next = v + stride / 2 * step;
    int32_t *sums = q->sums;
    for (int32_t left = q->r->x_end - q->r->x; left > 0; left -= 2) {
        int32_t acc = sums[0], next = sums[1];
        for (int32_t i = 0; i < taps; i++) {
            acc = kb_smlad(v[i * step], w[i], acc);
            next = kb_smlad(v_next[i * step], w_next[i], next);
        }
        sums[0] = acc;
        sums[1] = next;
        sums += 2;
        v += pair;
        v_next += pair;
    }
}

/* One channel of a row whose window starts at input row `top`. */
KB_APART void sum_rows(const quad *q, int32_t top, int32_t j, int32_t bias)
{
    const int32_t rows = q->p->window.kernel_h;
    const uint32_t *v = q->planes + j * q->columns * rows, *w = q->kernels + 2 * j * rows * q->taps;
    for (int32_t x = 0; x < q->r->x_end - q->r->x; x += 2)
        q->sums[x] = q->sums[x + 1] = bias;
    for (int32_t ky = 0; ky < rows; ky++, w += q->taps) {
        const uint32_t *row = v + (top + ky + rows) % rows;
        if (q->taps == 2)
            add_row(q, row, w, 2);
        else if (q->taps == 3)
            add_row(q, row, w, 3);
        else
            add_row(q, row, w, q->taps);
    }
}

/* The same for 3 x 3 kernels with a horizontal stride of 1. */
KB_APART void sum_3x3(const quad *q, int32_t first, int32_t j, int32_t bias)
{
    const uint32_t *v = q->planes + 3 * j * q->columns, *w = q->kernels + 12 * j;
    int32_t *sums = q->sums, *end = sums + (q->r->x_end - q->r->x);
    const int32_t row0 = first ? 3 - first : 0, row1 = row0 == 2 ? 0 : row0 + 1, row2 = row0 == 0 ? 2 : row0 - 1;
    const uint32_t w0 = w[2 * row0], w1 = w[2 * row1], w2 = w[2 * row2];
    const uint32_t u0 = w[7 + 2 * row0], u1 = w[7 + 2 * row1], u2 = w[7 + 2 * row2];
    do {
        uint32_t a = v[0], b = v[3];
        int32_t acc = kb_smlad(a, w0, bias), next = kb_smlad(b, u0, bias);
        acc = kb_smlabt(b, u0, acc);
        next = kb_smlatb(a, w0, next);
        a = v[1], b = v[4];
        acc = kb_smlad(a, w1, acc);
        next = kb_smlad(b, u1, next);
        acc = kb_smlabt(b, u1, acc);
        next = kb_smlatb(a, w1, next);
        a = v[2], b = v[5];
        acc = kb_smlad(a, w2, acc);
        next = kb_smlad(b, u2, next);
        sums[0] = kb_smlabt(b, u2, acc);
        sums[1] = kb_smlatb(a, w2, next);
        sums += 2;
        v += 3;
    } while (sums < end);
}

/* The sums of channel c, requantised. */
KB_APART void finish_row(const quad *q, int8_t *out, int32_t c)
{
    const kb_depthwise_conv2d_s8_params *p = q->p;
    const int32_t channels = p->window.in.channels, multiplier = p->multiplier[c], shift = p->shift[c];
    const int32_t zero = p->out_zero, low = p->low, *end = q->sums + (q->r->x_end - q->r->x);
    if (shift < 33) {
        for (const int32_t *sum = q->sums; sum < end; sum++, out += channels)
            *out = kb_saturate(kb_requantise(*sum, multiplier, shift), zero, low);
        return;
    }
    const int32_t more = shift - 33, round = 1 + 2 * zero; /* the zero point, doubled, joins what rounds */
    for (const int32_t *sum = q->sums; sum < end; sum++, out += channels)
        *out = (int8_t)kb_max(kb_ssat8(((kb_smmul(*sum, multiplier) >> more) + round) >> 1), low);
}

/* Four channels from c on. */
KB_INLINE void channels_4(const quad *q, const int8_t *in, int8_t *out, int32_t c)
{
    const kb_window *g = &q->p->window;
    const kb_region *r = q->r;
    const int is_3x3 = g->kernel_h == 3 && g->kernel_w == 3 && g->stride_w == 1;
    int32_t ready = r->y * g->stride_h - g->pad_h;
    spread_kernels(q, c);
    for (int32_t y = r->y; y < r->y_end; y++) {
        const int32_t top = y * g->stride_h - g->pad_h;
        for (ready = kb_max(ready, top); ready < top + g->kernel_h; ready++)
            spread_row(q, in + c, ready);
        int8_t *to = out + (y * g->out.width + r->x) * g->out.channels + c;
        for (int32_t j = 0; j < QUAD; j++) {
            if (is_3x3)
                sum_3x3(q, (top + 3) % 3, j, q->p->bias[c + j]);
            else
                sum_rows(q, top, j, q->p->bias[c + j]);
            finish_row(q, to + j, c + j);
        }
    }
}
#endif

KB_KERNEL void kb_depthwise_conv2d_s8(const int8_t *in, int8_t *out, void *scratch,
                                      const kb_depthwise_conv2d_s8_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels;
#ifdef __ARM_FEATURE_DSP
    if (channels >= QUAD) {
        const int32_t taps = (g->kernel_w + 2) / 2, pairs = (r->x_end - r->x + 1) / 2;
        const int32_t columns = (2 * pairs - 1) * g->stride_w / 2 + taps;
        uint32_t *kernels = scratch, *planes = kernels + 2 * QUAD * g->kernel_h * taps;
        int32_t *sums = (int32_t *)(planes + QUAD * g->kernel_h * columns);
        const quad q = {p, r, columns, taps, planes, kernels, sums};
        for (int32_t c = 0; c < channels; c += QUAD)
            channels_4(&q, in, out, kb_min(c, channels - QUAD));
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
