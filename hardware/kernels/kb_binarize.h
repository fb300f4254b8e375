/* SPDX-License-Identifier: Apache-2.0 */
/* Binarization. Some cores make sixteen channels, if there are as many, of one pixel after the other; the last sixteen
   begin among those before where that needs be. Otherwise words are made, all of a pixel before the next one. */
#ifndef KB_BINARIZE_H
#define KB_BINARIZE_H

#include "kb_inline.h"

/* What becomes of the bits of sixteen channels, and distances from one pixel to the next, in bytes. */
typedef struct {
    uint32_t made; /* how many of the channels have their bits already */
    uint32_t flip;
    int32_t pitch, words;
} kb_sixteen;

/* Store bits as a word, whose upper half is made later, or as the upper half, whose address is no multiple of four. */
#define KB_STORE_SIXTEEN                                                                                               \
    "lsr.w %[bits], %[bits], %[made]\n eor.w %[bits], %[bits], %[flip]\n"                                              \
    "tst.w %[to], #2\n ite eq\n streq.w %[bits], [%[to]]\n strhne.w %[bits], [%[to]]\n .p2align 2\n"                   \
    "add.w %[to], %[to], %[words]\n subs.w %[pixels], %[pixels], #1\n bne.w 1b\n"

/* `reached` makes the bits of up to 32 channels; where SIXTEEN is 1, `sixteen` those of sixteen of some pixels. */
#define KB_BINARIZE(kernel, value, params, SIXTEEN)                                                                    \
    KB_KERNEL void kernel(const value *in, uint32_t *out, const params *p, const kb_region *r)                         \
    {                                                                                                                  \
        const params own = *p; /* which no store can change */                                                         \
        const int32_t channels = own.in.channels, words = kb_words(channels), width = r->x_end - r->x;                 \
        const int32_t high = width == own.in.width ? r->y_end - r->y : 1; /* rows that are one */                      \
        for (int32_t y = r->y; y < r->y_end; y += high) {                                                              \
            const value *from = in + (y * own.in.width + r->x) * channels;                                             \
            uint32_t *to = out + (y * own.in.width + r->x) * words;                                                    \
            int32_t c = 0;                                                                                             \
            KB_NO_UNROLL                                                                                               \
            for (; SIXTEEN && channels >= 16 && c < channels; c += 16) {                                               \
                const int32_t first = kb_min(c, channels - 16);                                                        \
                const uint32_t flip = own.flip[c / 32] >> (c & 16) & 0xFFFF;                                           \
                const kb_sixteen s = {c - first, flip, channels * (int32_t)sizeof(value), 4 * words};                  \
                sixteen(from + first, own.below + first, (char *)to + c / 16 * 2, &s, high * width);                   \
            }                                                                                                          \
            KB_NO_UNROLL                                                                                               \
            for (int32_t left = high * width; c == 0 && left > 0; left--, from += channels)                            \
                KB_NO_UNROLL                                                                                           \
            for (int32_t i = 0; i < (SIXTEEN ? 1 : words); i++)                                                        \
                *to++ = reached(from + 32 * i, own.below + 32 * i, kb_min(channels - 32 * i, 32)) ^ own.flip[i];       \
        }                                                                                                              \
    }

#endif
