/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution with weights of 2 bits: -1, 0 and 1. */
#define KB_BITS 2
#include "conv2d_s8.h"

KB_KERNEL void kb_conv2d_s2(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                            const kb_region *r)
{
    convolve(in, out, scratch, p, r);
}
