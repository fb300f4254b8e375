/* SPDX-License-Identifier: Apache-2.0 */
/* The same as depthwise_conv2d_direct_s8.c, but results are rounded twice, as TFLite-Micro rounds them. */
#define KB_TWICE
#include "depthwise_conv2d_direct_s8.h"

KB_KERNEL void kb_tflite_depthwise_conv2d_direct_s8(const int8_t *in, int8_t *out, void *scratch,
                                                    const kb_depthwise_conv2d_s8_params *p, const kb_region *r)
{
    CONVOLVE(in, out, scratch, p, r);
}
