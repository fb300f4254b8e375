/* SPDX-License-Identifier: Apache-2.0 */
/* Signs of float maps. */
#include "kb_generic.h"

/* A float's bits as an integer of the same order; -0 comes right before 0. */
KB_INLINE int32_t ordered(float value)
{
    union {
        float real;
        int32_t bits;
    } x = {value};
    return x.bits ^ (int32_t)((uint32_t)(x.bits >> 31) >> 1);
}

/* x >= threshold of up to 32 channels, the last ones first. */
#ifdef __thumb2__
KB_INLINE uint32_t reached(const float *x, const int32_t *threshold, int32_t channels)
{
    uint32_t bits = 0;
    x += channels, threshold += channels;
    KB_NO_UNROLL
    for (; channels & 3; channels--)
        bits = bits << 1 | (ordered(*--x) >= *--threshold);
    KB_NO_UNROLL
    for (; channels > 0; channels -= 4) {
        int32_t a, b, c, d, e;
        /* Loads one after the other take a cycle less. */
#define LOAD2 "ldr.w %[a], [%[x], #-8]!\n ldr.w %[b], [%[x], #4]\n ldr.w %[c], [%[t], #-8]!\n ldr.w %[d], [%[t], #4]\n"
#define BIT(x, threshold, bit)                                                                                         \
    "asr.w %[e], " x ", #31\n eor.w " x ", " x ", %[e], lsr #1\n"                                                      \
    "cmp " x ", " threshold "\n it ge\n addge %[bits], #" bit "\n"
        __asm__("lsl.w %[bits], %[bits], #4\n" LOAD2 BIT("%[b]", "%[d]", "8") BIT("%[a]", "%[c]", "4")
                    LOAD2 BIT("%[b]", "%[d]", "2") BIT("%[a]", "%[c]", "1")
                : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e), [bits] "+r"(bits), [x] "+r"(x),
                  [t] "+r"(threshold)
                :
                : "cc", "memory");
#undef BIT
#undef LOAD2
    }
    return bits;
}
#else
KB_INLINE uint32_t reached(const float *x, const int32_t *threshold, int32_t channels)
{
    uint32_t bits = 0;
    while (channels-- > 0)
        bits = bits << 1 | (ordered(x[channels]) >= threshold[channels]);
    return bits;
}
#endif

KB_BINARIZE(kb_binarize_f32, float, kb_binarize_f32_params)
