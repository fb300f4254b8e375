/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of every channel with a kernel of its own. */
#include "depthwise_conv2d_s8.h"

KB_KERNEL void kb_depthwise_conv2d_s8(const int8_t *in, int8_t *out, void *scratch,
                                      const kb_depthwise_conv2d_s8_params *p, const kb_region *r)
{
    (void)scratch;
    convolve(in, out, p, r, p->window.in.channels, 0, p->window.in.channels);
}
