/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of up to five taps along one axis with a stride of 1, and one along the other,
   by whose kernels it is included: with KB_TWICE before, results are rounded twice. Cores with the DSP extension make
   it as depthwise_short_s8.h says, Armv6-M as one of many taps (depthwise_conv2d_wide_s8_v6m.h), others as any other
   (depthwise_conv2d_s8.h). */
#ifndef KB_DEPTHWISE_CONV2D_LINE_S8_H
#define KB_DEPTHWISE_CONV2D_LINE_S8_H

#ifdef __ARM_FEATURE_DSP
#include "depthwise_short_s8.h"

#define CONVOLVE(in, out, scratch, p, r) by_channels(in, out, p, r)
#elif defined(__ARM_ARCH_6M__)
#include "depthwise_conv2d_wide_s8_v6m.h"
#else
#include "depthwise_conv2d_s8.h"

#define CONVOLVE(in, out, scratch, p, r) convolve_copies(in, out, scratch, p, r)
#endif

#endif
