/* SPDX-License-Identifier: Apache-2.0 */
/* Signs of int8 maps. */
#include "kb_dsp.h"
#include "kb_generic.h"

#ifdef __ARM_FEATURE_DSP
/* x > threshold of up to 32 channels, the last ones first. */
KB_INLINE uint32_t reached(const int8_t *x, const int8_t *threshold, int32_t channels)
{
    uint32_t bits = 0, a, b, c, d;
    x += channels, threshold += channels;
    KB_NO_UNROLL
    for (; channels & 3; channels--)
        bits = bits << 1 | (*--x > *--threshold);
    if (channels & 4) {
        x -= 4, threshold -= 4;
        bits = bits << 4 | kb_above4(kb_load4(x), kb_load4(threshold));
    }
    KB_NO_UNROLL
    for (; channels >= 8; channels -= 8) /* as kb_above4 twice, with loads one after the other, which are faster */
        __asm__("ldr.w %[a], [%[x], #-8]!\n ldr.w %[b], [%[x], #4]\n"
                "ldr.w %[c], [%[t], #-8]!\n ldr.w %[d], [%[t], #4]\n"
                "ssub8 %[b], %[d], %[b]\n sel %[b], %[zero], %[high]\n usad8 %[b], %[b], %[zero]\n"
                "ssub8 %[a], %[c], %[a]\n sel %[a], %[zero], %[low]\n usada8 %[a], %[a], %[zero], %[b]\n"
                "orr.w %[bits], %[a], %[bits], lsl #8\n"
                : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [x] "+r"(x), [t] "+r"(threshold),
                  [bits] "+r"(bits)
                : [zero] "r"(0), [low] "r"(0x08040201), [high] "r"(0x80402010)
                : "cc", "memory");
    return bits;
}
#else
KB_INLINE uint32_t reached(const int8_t *x, const int8_t *threshold, int32_t channels)
{
    uint32_t bits = 0;
    while (channels-- > 0) {
        int32_t difference = threshold[channels] - x[channels];
#ifdef __arm__
        KB_OPAQUE(difference); /* lest it become a branch */
#endif
        bits = 2 * bits + ((uint32_t)difference >> 31);
    }
    return bits;
}
#endif

KB_BINARIZE(kb_binarize_s8, int8_t, kb_binarize_s8_params)
