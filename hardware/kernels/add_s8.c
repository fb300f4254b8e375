#include "kb_inline.h"

/* Both inputs brought to the output's scale with one rounding. */
void kb_add_s8(const int8_t *a, const int8_t *b, int8_t *out, const kb_add_s8_params *p)
{
    for (int32_t i = 0; i < p->count; i++) {
        const int64_t sum =
            (int64_t)(a[i] - p->zero_a) * p->multiplier_a + (int64_t)(b[i] - p->zero_b) * p->multiplier_b;
        out[i] = kb_saturate(kb_requantise(sum, 1, p->shift) + p->out_zero, p->low);
    }
}
