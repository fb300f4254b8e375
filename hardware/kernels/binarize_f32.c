#include "kb_inline.h"

/* bit = (x >= threshold of its channel) xor flip. */
void kb_binarize_f32(const float *in, uint32_t *out, const kb_binarize_f32_params *p, const kb_region *r)
{
    const int32_t channels = p->in.channels, words = kb_words(channels);
    for (int32_t y = r->y; y < r->y_end; y++)
        for (int32_t x = r->x; x < r->x_end; x++) {
            const float *from = in + (y * p->in.width + x) * channels;
            uint32_t *to = out + (y * p->in.width + x) * words;
            for (int32_t c = 0; c < channels; c += 32) {
                uint32_t bits = p->flip[c / 32];
                for (int32_t j = 0; j < kb_min(32, channels - c); j++)
                    bits ^= (uint32_t)(from[c + j] >= p->threshold[c + j]) << j;
                to[c / 32] = bits;
            }
        }
}
