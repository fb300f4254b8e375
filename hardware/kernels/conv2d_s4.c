/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution with weights of 4 bits. */
#define KB_BITS 4
#include "conv2d_s8.h"

KB_KERNEL void kb_conv2d_s4(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                            const kb_region *r)
{
    convolve(in, out, scratch, p, r);
}
