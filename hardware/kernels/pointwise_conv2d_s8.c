/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of which every pixel is made of one. */
#include "pointwise_conv2d_s8.h"

KB_KERNEL void kb_pointwise_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                                      const kb_region *r)
{
    convolve(in, out, scratch, p, r);
}
