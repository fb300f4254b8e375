/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHANNEL_SCALE_H
#define CHANNEL_SCALE_H

#include "kb_kernels.h"

typedef struct {
    kb_shape in;
    const float *scale;
} kb_channel_scale_f32_params;

typedef struct {
    kb_shape in;
    const int32_t *multiplier, *shift;
    int32_t in_zero, out_zero;
} kb_channel_scale_s8_params;

void kb_channel_scale_f32(const float *in, float *out, const kb_channel_scale_f32_params *p, const kb_region *r);
void kb_channel_scale_s8(const int8_t *in, int8_t *out, const kb_channel_scale_s8_params *p, const kb_region *r);

#endif
