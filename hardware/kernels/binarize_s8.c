#include "kb_inline.h"

/* bit = (x >= threshold of its channel) xor flip. */
void kb_binarize_s8(const int8_t *in, uint32_t *out, const kb_binarize_s8_params *p)
{
    const int32_t channels = p->in.channels;
    for (int32_t i = 0; i < p->in.height * p->in.width; i++) {
        for (int32_t c = 0; c < channels; c += 32) {
            uint32_t bits = p->flip[c / 32];
            for (int32_t j = 0; j < kb_min(32, channels - c); j++)
                bits ^= (uint32_t)(in[c + j] >= p->threshold[c + j]) << j;
            *out++ = bits;
        }
        in += channels;
    }
}
