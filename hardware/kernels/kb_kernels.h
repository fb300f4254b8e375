/* SPDX-License-Identifier: Apache-2.0 */
/* The operators. Feature maps are [height][width][channels]; bit maps pack channels into words, least significant bit
   first. Meanings: docs/arithmetic.md. No kernel allocates or keeps state. */
#ifndef KB_KERNELS_H
#define KB_KERNELS_H

#include <stdint.h>

/* What kernels and operators (kilobench/compile/ops) must agree on stands here alone. */

/* Taps that int8 convolutions sum at a time, so that a sum of two channels (conv2d_s8.h) stays exact. */
#define KB_CONV2D_S8_CHUNK 512
/* Output pixels that kb_sparse_conv2d_s8 makes at a time. */
#define KB_SPARSE_TOGETHER 4
/* Taps of kb_dense_conv2d_s8 of which there is a whole number of weights. */
#define KB_DENSE_S8_STEP 8
/* Taps that kb_depthwise_conv2d_line_s8 may have. */
#define KB_DEPTHWISE_TAPS 5
/* Words that a window of kb_depthwise_conv2d_wide_s8 may have in a run. */
#define KB_DEPTHWISE_RUN 8
/* Pixels of a block from which kb_conv2d_s8 copies the weights of four channels to scratch, if a pixel has more taps
   than this: of so many the smallest caches of data, 256 bytes, keep them with their numbers. */
#define KB_CONV2D_S8_COPIED 12
#define KB_CONV2D_S8_CACHED 48
/* Rows that a plane of kb_depthwise_conv2d_3x3_s8 has room for. */
#define KB_DEPTHWISE_ROWS 18
/* Shift to the right of the channels of kb_depthwise_conv2d_3x3_s8 that it makes fastest. */
#define KB_DEPTHWISE_RIGHT 11
/* Outputs of which kb_depthwise_conv2d_direct_s8 makes four channels before the next four. */
#define KB_DEPTHWISE_JOBS 64
/* Taps that a window of kb_depthwise_conv2d_wide_s8 may have, with one row and one column more. */
#define KB_DEPTHWISE_MOST 512
/* Taps in a column of a binary convolution's kernel up to which all columns share a list. */
#define KB_BITS_FEW 8
/* Taps of a binary convolution: its counts have 16 bits. */
#define KB_BITS_MAX_TAPS 65535
/* Taps of one list: their byte offsets have 16 bits. */
#define KB_BITS_MAX_COLUMN 16383
/* Words that a binary convolution with few output channels counts at a time, and last. */
#define KB_FEW_CHUNK 18
#define KB_FEW_SHORT 10

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
    const float *bias;   /* as many */
    int32_t relu;
} kb_conv2d_f32_params;

/* int8 convolution; see conv2d_s8.h. */
typedef struct {
    kb_window window;
    const int16_t *weight;
    /* [out channels, or 4 of fewer][4]: bias, multiplier, offset, shift: the output is (offset + the upper word of (sum
       + bias) * multiplier) >> shift, offset doing the rounding and the zero point. */
    const int32_t *channel;
    int32_t column;         /* halves per column in scratch */
    int32_t taps;           /* per pixel, a multiple of 4 */
    int32_t sums;           /* words of scratch before the columns: sums of two pixels, or outputs of fewer than four
                               channels, which are made four at a time */
    int32_t block;          /* output pixels whose columns fit into scratch */
    int32_t in_zero, low;
} kb_conv2d_s8_params;

/* int8 convolution to one, two or three channels whose kernel is the whole map; see dense_conv2d_s8.h. */
typedef struct {
    const int8_t *weight;
    const int32_t *channel; /* as in kb_conv2d_s8_params */
    int32_t taps, channels, low;
} kb_dense_conv2d_s8_params;

/* int8 convolution with weights most of which are 0; see sparse_conv2d_s8.h. That of the whole map reads the weights,
   the number of output channels and low alone. */
typedef struct {
    kb_window window;
    const uint32_t *weight; /* with bias, multiplier, offset and shift of each channel, as in kb_conv2d_s8_params */
    int32_t words;          /* of the weights */
    int32_t column;         /* values per column */
    int32_t apart;          /* pixels of the input from a column in scratch to the next */
    int32_t step;           /* columns from a pair of output pixels to the next */
    int32_t block;          /* output pixels whose columns fit into scratch, a multiple of KB_SPARSE_TOGETHER */
    int32_t in_zero, low;
} kb_sparse_conv2d_s8_params;

/* int8 weights on an int16 input of zero point 0; see conv2d_s16.c. */
typedef struct {
    kb_window window;
    const int16_t *weight;  /* [out channels][taps] */
    const int32_t *channel; /* as in kb_conv2d_s8_params; with a negative shift, kb_requantise by -shift */
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
    /* [channels][3]: bias, multiplier, shift to the right, and 256 times that of sum and bias to the left before: the
       output is the upper word of (sum << left + bias) * multiplier, shifted to the right and rounded. */
    const int32_t *channel;
    /* Outputs of a tile in scratch, along and across its neighbours, which lie along rows or, if turned, columns:
       depthwise_planes.h. */
    int32_t turned, along, across;
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

/* Binary convolutions; constants as kb_bits.h, or kb_few.h, counts and kilobench/compile/ops/_bits.py lays out, `level`
   and `positive` per case. */
typedef struct {
    kb_window window;
    const uint32_t *weight;
    const uint32_t *level; /* [cases][groups][slices], or [cases][out channels] */
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
    const int32_t *channel;   /* [out channels][3]: bias, multiplier and shift, as in kb_conv2d_s8_params */
    int32_t out_zero, low;
} kb_conv2d_b1_s8_params;

typedef struct {
    kb_window window;
    const uint32_t *weight;
    const uint16_t *positive; /* [cases][out channels] */
    const float *scale, *bias, *centre;
    int32_t relu;
} kb_conv2d_b1_centred_f32_params;

typedef struct {
    kb_window window;
    const uint32_t *weight;
    const uint16_t *positive; /* [cases][out channels] */
    const int32_t *channel;   /* as of kb_conv2d_b1_s8_params */
    const int32_t *centre;    /* in steps of the bias */
    int32_t out_zero, low;
} kb_conv2d_b1_centred_s8_params;

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
    const int32_t *below; /* the largest floats that do not reach it, as their bits */
    const uint32_t *flip;
} kb_binarize_f32_params;

typedef struct {
    kb_shape in;
    const int8_t *below; /* the largest values that do not reach it */
    const uint32_t *flip;
} kb_binarize_s8_params;

typedef struct {
    kb_shape in;
} kb_softmax_f32_params;

typedef struct {
    kb_shape in;
    const uint32_t *table; /* exp(-scale * d) for d from 0 to 255, in fixed point */
} kb_softmax_s8_params;

typedef struct {
    kb_shape in;
} kb_pointwise_params;

typedef struct {
    kb_shape in;
    const int8_t *table; /* of -128, -127, ..., 127 */
} kb_lookup_s8_params;

typedef struct {
    kb_shape in;
    float slope, offset;
} kb_hard_sigmoid_f32_params;

typedef struct {
    kb_shape in;
    float slope;
} kb_leaky_relu_f32_params;

typedef struct {
    kb_shape in;
    float low, high;
} kb_clip_f32_params;

typedef struct {
    kb_shape in;
    int32_t low, high;
} kb_clip_s8_params;

typedef struct {
    kb_shape in;
    const float *slope;
} kb_prelu_f32_params;

/* Factors as `channel` of kb_conv2d_s8_params, without a bias; positive shifts are for 256 times a value. */
typedef struct {
    kb_shape in;
    int32_t positive[4];
    const int32_t *negative; /* [channels][4] */
    int32_t in_zero, out_zero;
} kb_prelu_s8_params;

typedef struct {
    kb_shape in;
    const float *bend, *above, *below, *offset;
} kb_piecewise_linear_f32_params;

/* A value from the threshold on is on the first of two lines: (factor * value + bias) >> fraction. */
typedef struct {
    kb_shape in;
    const int32_t *channel; /* [channels][5]: threshold, factor and bias above, factor and bias below */
    int32_t fraction;
} kb_piecewise_linear_s8_params;

typedef struct {
    kb_shape in;
    float scale;
    int32_t zero;
} kb_quantise_f32_params, kb_dequantise_s8_f32_params, kb_dequantise_u8_f32_params;

typedef struct {
    kb_shape in;
    const int8_t *table; /* of 0, 1, ..., 255 */
} kb_quantise_u8_params;

typedef struct {
    kb_shape in;
    const int16_t *table; /* of 0, 1, ..., 255 */
} kb_quantise_u8_s16_params;

typedef struct {
    int32_t blocks; /* of 16 bytes, the last one begun */
} kb_pixels_u8_params;

typedef struct {
    kb_shape in;
    const uint8_t *table; /* of -128, -127, ..., 127 */
} kb_dequantise_s8_u8_params;

/* Sound to mel bands or cepstra; tables as kilobench/data/frontend.py makes them. */
typedef struct {
    int32_t frames, frame, hop, points, odd; /* `odd`: the transform begins with a pass of radix 2 */
    int32_t bands, coefficients, first, gain, offset;
    const int16_t *window, *sine, *cosine;
    const uint16_t *counts, *log;
    const uint8_t *weights;
} kb_logmel_s16_params;

/* Two maps combined: turns of the three loops over the output, and how far each map goes on in one, in values. */
typedef struct {
    int32_t size[3], a[3], b[3];
} kb_broadcast;

typedef struct {
    kb_broadcast grid;
    int32_t relu;
} kb_broadcast_f32_params;

typedef struct {
    kb_broadcast grid;
    kb_add_s8_params sum; /* of a row */
} kb_add_broadcast_s8_params;

typedef struct {
    kb_broadcast grid;
    int32_t channel[4]; /* as of kb_conv2d_s8_params, without a bias */
    int32_t zero_a, zero_b, out_zero, low;
} kb_mul_s8_params;

typedef struct {
    kb_broadcast grid;
    int32_t multiplier[3], shift[3]; /* of a, b and their sum; shifts right between both roundings */
    int32_t zero_a, zero_b, out_zero, low, sign;
} kb_tflite_add_s8_params;

typedef struct {
    int32_t inputs, pieces;
    const int32_t *sizes; /* of a piece of each input, in values */
} kb_concat_params;

typedef struct {
    kb_shape in, out, before;
    float with;
} kb_pad_f32_params;

typedef struct {
    kb_shape in, out, before;
    int32_t with;
} kb_pad_s8_params;

/* Turns of three loops over the output, and how far the input goes on in one, in values. */
typedef struct {
    int32_t offset, size[3], step[3];
} kb_strided_params;

typedef struct {
    int32_t count;
} kb_reshape_params;

typedef struct {
    kb_shape in, out;
    int32_t half;
} kb_resize_nearest_params;

/* Values before the axis, along it and after it. */
typedef struct {
    int32_t outer, count, inner;
} kb_argmax_params;

/* Sums where one input's factor is 1/2: the first, or if `swapped` the second. */
typedef struct {
    int32_t count, swapped, zero_exact;
    int32_t zero, multiplier, shift; /* of the other one */
    int32_t last, down, offset;      /* of the sum; the offset rounds, and adds the zero point */
    int32_t low;
} kb_tflite_add_exact_s8_params;

typedef struct {
    kb_window window;
} kb_tflite_avg_pool_s8_params;

typedef struct {
    kb_shape in;
    const int32_t *table; /* exp(-scale * d) for d from 0 to 255, times 2^31 */
} kb_tflite_softmax_s8_params;

void kb_conv2d_f32(const float *in, float *out, void *scratch, const kb_conv2d_f32_params *p, const kb_region *r);
void kb_dense_conv2d_f32(const float *in, float *out, void *scratch, const kb_conv2d_f32_params *p, const kb_region *r);
void kb_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, const kb_region *r);
void kb_conv2d_s4(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, const kb_region *r);
void kb_conv2d_s2(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p, const kb_region *r);
void kb_conv2d_s16(const int16_t *in, int8_t *out, void *scratch, const kb_conv2d_s16_params *p, const kb_region *r);
void kb_depthwise_conv2d_f32(const float *in, float *out, void *scratch, const kb_depthwise_conv2d_f32_params *p,
                             const kb_region *r);
/* The same for kernels of 3x3, stride 1 and padding 1, and an even number of channels. */
void kb_depthwise_conv2d_3x3_f32(const float *in, float *out, void *scratch, const kb_depthwise_conv2d_f32_params *p,
                                 const kb_region *r);
/* With two roundings: `channel` has twice the bias, and what is shifted after the first of them. */
void kb_sparse_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_sparse_conv2d_s8_params *p,
                         const kb_region *r);
void kb_sparse_dense_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_sparse_conv2d_s8_params *p,
                               const kb_region *r);
void kb_tflite_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                         const kb_region *r);
/* Of kernels of 1 x 1 with a stride of 1 and no padding, channels in and out a multiple of four, at most
   KB_CONV2D_S8_CHUNK taps. */
void kb_pointwise_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                            const kb_region *r);
void kb_tflite_pointwise_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                                   const kb_region *r);
void kb_dense_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_dense_conv2d_s8_params *p,
                        const kb_region *r);
void kb_tflite_dense_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_dense_conv2d_s8_params *p,
                               const kb_region *r);
void kb_depthwise_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                            const kb_region *r);
void kb_tflite_depthwise_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                                   const kb_region *r);
/* Of kernels of 3 x 3 with a stride of 1 or 2, and four channels or more. */
void kb_depthwise_conv2d_3x3_s8(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                                const kb_region *r);
void kb_tflite_depthwise_conv2d_3x3_s8(const int8_t *in, int8_t *out, void *scratch,
                                       const kb_depthwise_conv2d_s8_params *p, const kb_region *r);
/* Of kernels of 3 x 3 on maps of three columns or more, beyond which windows reach by one at most; four channels or
   more. */
void kb_depthwise_conv2d_direct_s8(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                                   const kb_region *r);
void kb_tflite_depthwise_conv2d_direct_s8(const int8_t *in, int8_t *out, void *scratch,
                                          const kb_depthwise_conv2d_s8_params *p, const kb_region *r);
/* Of other kernels of many taps. */
void kb_depthwise_conv2d_wide_s8(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                                 const kb_region *r);
void kb_tflite_depthwise_conv2d_wide_s8(const int8_t *in, int8_t *out, void *scratch,
                                        const kb_depthwise_conv2d_s8_params *p, const kb_region *r);
void kb_depthwise_conv2d_line_s8(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                                 const kb_region *r);
void kb_tflite_depthwise_conv2d_line_s8(const int8_t *in, int8_t *out, void *scratch,
                                        const kb_depthwise_conv2d_s8_params *p, const kb_region *r);
void kb_grouped_conv2d_f32(const float *in, float *out, void *scratch, const kb_grouped_conv2d_f32_params *p,
                           const kb_region *r);
void kb_grouped_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_grouped_conv2d_s8_params *p,
                          const kb_region *r);
void kb_conv2d_b1(const uint32_t *in, uint32_t *out, void *scratch, const kb_conv2d_b1_params *p, const kb_region *r);
void kb_conv2d_b1_f32(const uint32_t *in, float *out, void *scratch, const kb_conv2d_b1_f32_params *p,
                      const kb_region *r);
void kb_conv2d_b1_s8(const uint32_t *in, int8_t *out, void *scratch, const kb_conv2d_b1_s8_params *p,
                     const kb_region *r);
void kb_conv2d_b1_centred_f32(const uint32_t *in, float *out, void *scratch, const kb_conv2d_b1_centred_f32_params *p,
                              const kb_region *r);
void kb_conv2d_b1_centred_s8(const uint32_t *in, int8_t *out, void *scratch, const kb_conv2d_b1_centred_s8_params *p,
                             const kb_region *r);
void kb_conv2d_b1_few(const uint32_t *in, uint32_t *out, void *scratch, const kb_conv2d_b1_params *p,
                      const kb_region *r);
void kb_conv2d_b1_few_f32(const uint32_t *in, float *out, void *scratch, const kb_conv2d_b1_f32_params *p,
                          const kb_region *r);
void kb_conv2d_b1_few_s8(const uint32_t *in, int8_t *out, void *scratch, const kb_conv2d_b1_s8_params *p,
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
void kb_lookup_s8(const int8_t *in, int8_t *out, const kb_lookup_s8_params *p, const kb_region *r);
void kb_sigmoid_f32(const float *in, float *out, const kb_pointwise_params *p, const kb_region *r);
void kb_tanh_f32(const float *in, float *out, const kb_pointwise_params *p, const kb_region *r);
void kb_hard_swish_f32(const float *in, float *out, const kb_pointwise_params *p, const kb_region *r);
void kb_hard_sigmoid_f32(const float *in, float *out, const kb_hard_sigmoid_f32_params *p, const kb_region *r);
void kb_leaky_relu_f32(const float *in, float *out, const kb_leaky_relu_f32_params *p, const kb_region *r);
void kb_clip_f32(const float *in, float *out, const kb_clip_f32_params *p, const kb_region *r);
void kb_clip_s8(const int8_t *in, int8_t *out, const kb_clip_s8_params *p, const kb_region *r);
void kb_prelu_f32(const float *in, float *out, const kb_prelu_f32_params *p, const kb_region *r);
void kb_prelu_s8(const int8_t *in, int8_t *out, const kb_prelu_s8_params *p, const kb_region *r);
void kb_piecewise_linear_f32(const float *in, float *out, const kb_piecewise_linear_f32_params *p, const kb_region *r);
void kb_piecewise_linear_s8(const int8_t *in, int8_t *out, const kb_piecewise_linear_s8_params *p, const kb_region *r);
void kb_quantise_f32(const float *in, int8_t *out, const kb_quantise_f32_params *p, const kb_region *r);
void kb_quantise_u8(const uint8_t *in, int8_t *out, const kb_quantise_u8_params *p, const kb_region *r);
void kb_quantise_u8_s16(const uint8_t *in, int16_t *out, const kb_quantise_u8_s16_params *p, const kb_region *r);
void kb_logmel_s16(const int16_t *in, uint8_t *out, void *scratch, const kb_logmel_s16_params *p);
void kb_pixels_u8(const uint8_t *in, int8_t *out, const kb_pixels_u8_params *p);
void kb_dequantise_s8_f32(const int8_t *in, float *out, const kb_dequantise_s8_f32_params *p, const kb_region *r);
void kb_dequantise_u8_f32(const uint8_t *in, float *out, const kb_dequantise_u8_f32_params *p, const kb_region *r);
void kb_dequantise_s8_u8(const int8_t *in, uint8_t *out, const kb_dequantise_s8_u8_params *p, const kb_region *r);
void kb_add_broadcast_f32(const float *a, const float *b, float *out, const kb_broadcast_f32_params *p);
void kb_add_broadcast_s8(const int8_t *a, const int8_t *b, int8_t *out, const kb_add_broadcast_s8_params *p);
void kb_sub_f32(const float *a, const float *b, float *out, const kb_broadcast_f32_params *p);
void kb_mul_f32(const float *a, const float *b, float *out, const kb_broadcast_f32_params *p);
void kb_mul_s8(const int8_t *a, const int8_t *b, int8_t *out, const kb_mul_s8_params *p);
void kb_tflite_add_exact_s8(const int8_t *a, const int8_t *b, int8_t *out, const kb_tflite_add_exact_s8_params *p);
void kb_tflite_add_s8(const int8_t *a, const int8_t *b, int8_t *out, const kb_tflite_add_s8_params *p);
void kb_concat_f32(const float *const *in, float *out, const kb_concat_params *p);
void kb_concat_s8(const int8_t *const *in, int8_t *out, const kb_concat_params *p);
void kb_pad_f32(const float *in, float *out, const kb_pad_f32_params *p);
void kb_pad_s8(const int8_t *in, int8_t *out, const kb_pad_s8_params *p);
void kb_strided_f32(const float *in, float *out, const kb_strided_params *p);
void kb_strided_s8(const int8_t *in, int8_t *out, const kb_strided_params *p);
void kb_reshape_f32(const float *in, float *out, const kb_reshape_params *p);
void kb_reshape_s8(const int8_t *in, int8_t *out, const kb_reshape_params *p);
void kb_resize_nearest_f32(const float *in, float *out, const kb_resize_nearest_params *p);
void kb_resize_nearest_s8(const int8_t *in, int8_t *out, const kb_resize_nearest_params *p);
void kb_argmax_f32(const float *in, int32_t *out, const kb_argmax_params *p);
void kb_argmax_s8(const int8_t *in, int32_t *out, const kb_argmax_params *p);
void kb_tflite_avg_pool_s8(const int8_t *in, int8_t *out, const kb_tflite_avg_pool_s8_params *p, const kb_region *r);
void kb_tflite_softmax_s8(const int8_t *in, int8_t *out, const kb_tflite_softmax_s8_params *p, const kb_region *r);

#endif
