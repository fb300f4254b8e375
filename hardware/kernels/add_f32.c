#include "kb_inline.h"

void kb_add_f32(const float *a, const float *b, float *out, const kb_add_f32_params *p)
{
    for (int32_t i = 0; i < p->count; i++) {
        const float sum = a[i] + b[i];
        out[i] = p->relu && sum < 0.0f ? 0.0f : sum;
    }
}
