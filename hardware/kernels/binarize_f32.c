/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

/* A float's bits as an integer of the same order; -0 comes right before 0. */
KB_INLINE int32_t ordered(float value)
{
    union {
        float real;
        int32_t bits;
    } x = {value};
    return x.bits ^ (int32_t)((uint32_t)(x.bits >> 31) >> 1);
}

/* x >= threshold of up to 32 channels, the last one first. */
KB_INLINE uint32_t reached(const float *x, const int32_t *threshold, int32_t channels)
{
    uint32_t bits = 0;
    for (int32_t i = channels; i-- > 0;)
        bits = bits << 1 | (ordered(x[i]) >= threshold[i]);
    return bits;
}

/* bit = (x >= threshold of its channel) xor flip. */
KB_KERNEL void kb_binarize_f32(const float *in, uint32_t *out, const kb_binarize_f32_params *p, const kb_region *r)
{
    const int32_t channels = p->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const float *from = in + (y * p->in.width + r->x) * channels;
        uint32_t *to = out + (y * p->in.width + r->x) * kb_words(channels);
        for (int32_t x = r->x; x < r->x_end; x++) {
            int32_t c = 0;
            for (; c + 32 <= channels; c += 32)
                *to++ = reached(from + c, p->threshold + c, 32) ^ p->flip[c / 32];
            if (c < channels)
                *to++ = reached(from + c, p->threshold + c, channels - c) ^ p->flip[c / 32];
            from += channels;
        }
    }
}
