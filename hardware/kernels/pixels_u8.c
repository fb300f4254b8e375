/* SPDX-License-Identifier: Apache-2.0 */
/* uint8 to int8 on the same grid: the upper bit of every byte changes. Maps lie on 16 bytes and take multiples of them,
   so that there are whole words alone. */
#include "kb_inline.h"

void kb_pixels_u8(const uint8_t *in, int8_t *out, const kb_pixels_u8_params *p)
{
    const uint8_t *from = in;
    int8_t *to = out;
    for (int32_t left = p->blocks; left > 0; left--, from += 16, to += 16) {
        uint32_t words[4];
        __builtin_memcpy(words, __builtin_assume_aligned(from, 4), 16);
        for (int32_t i = 0; i < 4; i++)
            words[i] ^= 0x80808080u;
        __builtin_memcpy(__builtin_assume_aligned(to, 4), words, 16);
    }
}
