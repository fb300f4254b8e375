/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 whose windows share little. */
#include "depthwise_conv2d_direct_s8.h"

KB_KERNEL void kb_depthwise_conv2d_direct_s8(const int8_t *in, int8_t *out, void *scratch,
                                             const kb_depthwise_conv2d_s8_params *p, const kb_region *r)
{
    CONVOLVE(in, out, scratch, p, r);
}
