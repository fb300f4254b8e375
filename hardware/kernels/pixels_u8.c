/* SPDX-License-Identifier: Apache-2.0 */
/* uint8 to int8 on the same grid: the upper bit of every byte changes. Maps lie on 16 bytes and take multiples of them,
   so that there are whole words alone. */
#include "kb_inline.h"

void kb_pixels_u8(const uint8_t *in, int8_t *out, const kb_pixels_u8_params *p)
{
    int32_t left = p->blocks;
    KB_NO_UNROLL
    do {
        uint32_t words[4];
        __builtin_memcpy(words, __builtin_assume_aligned(in, 4), 16);
        for (int32_t i = 0; i < 4; i++)
            words[i] ^= 0x80808080u;
        __builtin_memcpy(__builtin_assume_aligned(out, 4), words, 16);
        in += 16;
        out += 16;
    } while (--left);
}
