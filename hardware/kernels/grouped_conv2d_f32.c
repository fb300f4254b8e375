/* SPDX-License-Identifier: Apache-2.0 */
/* Float convolution of any groups and dilation. The order of the sum is fixed: rows, columns, channels, then the bias.
 */
#include "kb_generic.h"

KB_INLINE void add_tap(float *acc, const float *x, int32_t apart, const float *w, int32_t next,
                       const kb_grouped_conv2d_f32_params *p, int32_t count)
{
    for (int32_t i = 0; i < p->group_in; i++)
        for (int32_t j = 0; j < count; j++)
            acc[j] += x[j * apart + i] * w[j * next + i];
}

KB_INLINE float finish(const kb_grouped_conv2d_f32_params *p, float acc, int32_t o)
{
    return kb_masked_relu(acc + p->bias[o], kb_relu_mask(p->relu));
}

KB_GROUPED_CONV2D(kb_grouped_conv2d_f32, float, float, kb_grouped_conv2d_f32_params)
