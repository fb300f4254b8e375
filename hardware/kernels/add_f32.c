/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

KB_KERNEL void kb_add_f32(const float *a, const float *b, float *out, const kb_add_f32_params *p)
{
    const int32_t mask = kb_relu_mask(p->relu);
    int32_t i = 0;
    for (; i + 4 <= p->count; i += 4, a += 4, b += 4, out += 4) {
        const float sums[4] = {a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]};
        KB_UNROLL
        for (int32_t j = 0; j < 4; j++)
            out[j] = kb_masked_relu(sums[j], mask);
    }
    for (; i < p->count; i++)
        *out++ = kb_masked_relu(*a++ + *b++, mask);
}
