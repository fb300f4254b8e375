/* SPDX-License-Identifier: Apache-2.0 */
/* Float convolution of any groups and dilation. The order of the sum is fixed: rows, columns, channels, then the bias.
   Weights of a tap: [group_in][outputs of the block]. */
#include "kb_grouped.h"

KB_INLINE void add_tap(float *acc, const float *x, const float *w, const int32_t *at,
                       const kb_grouped_conv2d_f32_params *p, int32_t count, int32_t reads)
{
    if (reads == KB_SAME) {
        KB_NO_UNROLL
        for (int32_t left = p->group_in; left > 0; left--, x++, w += count)
            for (int32_t j = 0; j < count; j++)
                acc[j] += *x * w[j];
        return;
    }
    for (int32_t j = 0; j < count; j++)
        acc[j] += x[at[j]] * w[j];
}

KB_INLINE float finish(const kb_grouped_conv2d_f32_params *p, float acc, int32_t o)
{
    return kb_masked_relu(acc + p->bias[o], kb_relu_mask(p->relu));
}

KB_GROUPED_CONV2D(kb_grouped_conv2d_f32, float, float, kb_grouped_conv2d_f32_params)
