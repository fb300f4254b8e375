/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

/* x >= threshold of up to 32 channels, the last one first. */
KB_INLINE uint32_t reached(const int8_t *x, const int32_t *threshold, int32_t channels)
{
    uint32_t bits = 0;
    for (int32_t i = channels; i-- > 0;)
        bits = bits << 1 | (x[i] >= threshold[i]);
    return bits;
}

/* bit = (x >= threshold of its channel) xor flip. */
KB_KERNEL void kb_binarize_s8(const int8_t *in, uint32_t *out, const kb_binarize_s8_params *p, const kb_region *r)
{
    const int32_t channels = p->in.channels;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const int8_t *from = in + (y * p->in.width + r->x) * channels;
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
