/* SPDX-License-Identifier: Apache-2.0 */
/* The operators. Feature maps are [height][width][channels]; bit maps pack channels into words, least significant bit
   first. Meanings: docs/arithmetic.md. No kernel allocates or keeps state. */
#ifndef KB_KERNELS_H
#define KB_KERNELS_H

#include <stdint.h>

/* What kernels and operators (kilobench/compile/ops) must agree on stands here alone. */

/* Taps that int8 convolutions sum at a time, so that a sum of two channels (conv2d_s8.c) stays exact. */
#define KB_CONV2D_S8_CHUNK 512
/* Taps in a column of a binary convolution's kernel up to which all columns share a list. */
#define KB_BITS_FEW 8
/* Taps of a binary convolution: its counts have 16 bits. */
#define KB_BITS_MAX_TAPS 65535
/* Taps of one list: their byte offsets have 16 bits. */
#define KB_BITS_MAX_COLUMN 16383

typedef struct {
    int32_t height, width, channels;
} kb_shape;

/* A kernel sliding over a map: sizes, strides and padding, vertical first. */
typedef struct {
    kb_shape in, out;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
} kb_window;

/* The part of an operator's output to compute: rows [y, y_end), columns [x, x_end). `in` and `out` are where the whole
   maps would start, even where only the rows (or columns) that this part needs exist. */
typedef struct {
    int32_t y, y_end, x, x_end;
} kb_region;

/* Rows or columns [from, to). */
typedef struct {
    int32_t from, to;
} kb_range;

/* Which of the `size` rows (or columns) of its input an operator reads to make some of its output's. */
static inline kb_range kb_read_by(kb_range made, int32_t kernel, int32_t stride, int32_t padding, int32_t size)
{
    const int32_t from = made.from * stride - padding, to = (made.to - 1) * stride - padding + kernel;
    return (kb_range){from < 0 ? 0 : from, to > size ? size : to};
}

typedef struct {
    kb_window window;
    const float *weight; /* [ceil(out channels / 4)][kernel_h][kernel_w][in channels][4] */
    const float *bias;
    int32_t relu;
} kb_conv2d_f32_params;

/* int8 convolution; see conv2d_s8.c. */
typedef struct {
    kb_window window;
    const int16_t *weight;
    /* [out channels][4]: bias, multiplier, offset, shift: the output is (offset + the upper word of (sum + bias) *
       multiplier) >> shift, offset doing the rounding and the zero point; with a negative shift, kb_requantise by
       -shift. */
    const int32_t *channel;
    int32_t quick;          /* whether all shifts are positive */
    int32_t column;         /* halves per column in scratch */
    int32_t taps;           /* per pixel, a multiple of 4 */
    int32_t sums;           /* words of scratch for sums */
    int32_t block;          /* output pixels whose columns fit into scratch */
    int32_t in_zero, out_zero, low;
} kb_conv2d_s8_params;

/* int8 weights on an int16 input of zero point 0; see conv2d_s16.c. */
typedef struct {
    kb_window window;
    const int16_t *weight;  /* [out channels][taps] */
    const int32_t *channel; /* as in kb_conv2d_s8_params */
    int32_t quick;          /* whether all shifts are positive */
    int32_t column;         /* halves per column in scratch */
    int32_t taps;           /* per pixel, even */
    int32_t block;          /* output pixels whose columns fit into scratch */
    int32_t out_zero, low;
} kb_conv2d_s16_params;

/* Every channel has a kernel of its own; weight [kernel_h][kernel_w][channels]. */
typedef struct {
    kb_window window;
    const float *weight;
    const float *bias;
    int32_t relu;
} kb_depthwise_conv2d_f32_params;

typedef struct {
    kb_window window;
    const int8_t *weight;
    const int32_t *bias;
    const int32_t *multiplier, *shift;
    /* Words of scratch for a channel, and whole rows of the output: depthwise_conv2d_s8_dsp.h. */
    int32_t taps;    /* per kernel row */
    int32_t columns; /* per input row */
    int32_t sums;    /* per output row, even */
    int32_t in_zero, out_zero, low;
} kb_depthwise_conv2d_s8_params;

/* Convolutions of any groups, dilation and weights; see kb_grouped.h. Outputs o to o + group_out - 1 read inputs i to
   i + group_in - 1, o and i being multiples of these. `taps` are those of the kernel. */
typedef struct {
    kb_window window;
    int32_t dilation_h, dilation_w, group_in, group_out, taps;
    const float *weight;
    const float *bias;
    int32_t relu;
} kb_grouped_conv2d_f32_params;

typedef struct {
    kb_window window;
    int32_t dilation_h, dilation_w, group_in, group_out, taps;
    const int8_t *weight;
    const int32_t *channel; /* as in kb_conv2d_s8_params, bias without the input's zero point */
    int32_t in_zero, out_zero, low;
} kb_grouped_conv2d_s8_params;

/* Binary convolutions; constants as kb_bits.h counts and kilobench/compile/ops/_bits.py lays out, `level` and
   `positive` per case. */
typedef struct {
    kb_window window;
    const uint32_t *weight;
    const uint32_t *level; /* [cases][groups][slices] */
    const uint32_t *flip;
} kb_conv2d_b1_params;

typedef struct {
    kb_window window;
    const uint32_t *weight;
    const uint16_t *positive; /* [cases][out channels] */
    const float *scale, *bias;
    int32_t relu;
} kb_conv2d_b1_f32_params;

typedef struct {
    kb_window window;
    const uint32_t *weight;
    const uint16_t *positive; /* [cases][out channels] */
    const int32_t *bias, *multiplier, *shift;
    int32_t out_zero, low;
} kb_conv2d_b1_s8_params;

typedef struct {
    kb_window window;
} kb_max_pool_params;

typedef struct {
    kb_window window;
    const uint32_t *flip; /* per output word, or NULL */
} kb_max_pool_b1_params;

typedef struct {
    kb_window window;
    float scale;
} kb_avg_pool_f32_params;

typedef struct {
    kb_window window;
    int32_t multiplier, shift, in_zero, out_zero;
} kb_avg_pool_s8_params;

/* Windows that reach beyond the map. A window's divisor is how many of its taps lie in the map grown by `counted`; the
   factors are for divisors from 1 to `divisors`, which is 1 where all windows have the same. */
typedef struct {
    int32_t top, left, bottom, right;
} kb_margins;

typedef struct {
    kb_window window;
    kb_margins counted;
    int32_t divisors;
    const float *scale;
} kb_padded_avg_pool_f32_params;

typedef struct {
    kb_window window;
    kb_margins counted;
    int32_t divisors;
    const int32_t *multiplier, *shift;
    int32_t in_zero, out_zero;
} kb_padded_avg_pool_s8_params;

typedef struct {
    int32_t count, relu;
} kb_add_f32_params;

typedef struct {
    int32_t count;
    int32_t multiplier_a, multiplier_b, shift;
    int32_t zero_a, zero_b, out_zero, low;
} kb_add_s8_params;

typedef struct {
    kb_shape in;
    const int32_t *threshold; /* as integers of the same order (ops/binarize.py) */
    const uint32_t *flip;
} kb_binarize_f32_params;

typedef struct {
    kb_shape in;
    const int32_t *threshold;
    const uint32_t *flip;
} kb_binarize_s8_params;

typedef struct {
    kb_shape in;
} kb_softmax_f32_params;

typedef struct {
    kb_shape in;
    const uint32_t *table; /* exp(-scale * d) for d from 0 to 255, in fixed point */
} kb_softmax_s8_params;

void kb_conv2d_f32(const float *in, float *out, void *scratch, const kb_conv2d_f32_params *p, const kb_region *r);
void kb_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, const kb_region *r);
void kb_conv2d_s16(const int16_t *in, int8_t *out, void *scratch, const kb_conv2d_s16_params *p, const kb_region *r);
void kb_depthwise_conv2d_f32(const float *in, float *out, void *scratch, const kb_depthwise_conv2d_f32_params *p,
                             const kb_region *r);
void kb_depthwise_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                            const kb_region *r);
void kb_grouped_conv2d_f32(const float *in, float *out, void *scratch, const kb_grouped_conv2d_f32_params *p,
                           const kb_region *r);
void kb_grouped_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_grouped_conv2d_s8_params *p,
                          const kb_region *r);
void kb_conv2d_b1(const uint32_t *in, uint32_t *out, void *scratch, const kb_conv2d_b1_params *p, const kb_region *r);
void kb_conv2d_b1_f32(const uint32_t *in, float *out, void *scratch, const kb_conv2d_b1_f32_params *p,
                      const kb_region *r);
void kb_conv2d_b1_s8(const uint32_t *in, int8_t *out, void *scratch, const kb_conv2d_b1_s8_params *p,
                     const kb_region *r);
void kb_max_pool_f32(const float *in, float *out, const kb_max_pool_params *p, const kb_region *r);
void kb_max_pool_s8(const int8_t *in, int8_t *out, const kb_max_pool_params *p, const kb_region *r);
void kb_max_pool_b1(const uint32_t *in, uint32_t *out, const kb_max_pool_b1_params *p, const kb_region *r);
void kb_padded_max_pool_f32(const float *in, float *out, const kb_max_pool_params *p, const kb_region *r);
void kb_padded_max_pool_s8(const int8_t *in, int8_t *out, const kb_max_pool_params *p, const kb_region *r);
void kb_avg_pool_f32(const float *in, float *out, const kb_avg_pool_f32_params *p, const kb_region *r);
void kb_avg_pool_s8(const int8_t *in, int8_t *out, const kb_avg_pool_s8_params *p, const kb_region *r);
void kb_padded_avg_pool_f32(const float *in, float *out, const kb_padded_avg_pool_f32_params *p, const kb_region *r);
void kb_padded_avg_pool_s8(const int8_t *in, int8_t *out, const kb_padded_avg_pool_s8_params *p, const kb_region *r);
void kb_add_f32(const float *a, const float *b, float *out, const kb_add_f32_params *p);
void kb_add_s8(const int8_t *a, const int8_t *b, int8_t *out, const kb_add_s8_params *p);
void kb_transpose_f32(const float *in, float *out, const kb_shape *in_shape);
void kb_transpose_s8(const int8_t *in, int8_t *out, const kb_shape *in_shape);
void kb_binarize_f32(const float *in, uint32_t *out, const kb_binarize_f32_params *p, const kb_region *r);
void kb_binarize_s8(const int8_t *in, uint32_t *out, const kb_binarize_s8_params *p, const kb_region *r);
void kb_softmax_f32(const float *in, float *out, const kb_softmax_f32_params *p, const kb_region *r);
void kb_softmax_s8(const int8_t *in, int8_t *out, const kb_softmax_s8_params *p, const kb_region *r);

#endif
