/* SPDX-License-Identifier: Apache-2.0 */
/* Signs of int8 maps. */
#include "kb_binarize.h"
#include "kb_dsp.h"

#ifdef __ARM_FEATURE_DSP
#include <stddef.h>

/* clang-format off */
/* Eight bits, of bytes of x0 and x1 that are above those of t0 and t1, in x0. */
#define ABOVE8(x0, x1, t0, t1)                                                                                         \
    "ssub8 " x1 ", " t1 ", " x1 "\n sel " x1 ", %[zero], %[high]\n usad8 " x1 ", " x1 ", %[zero]\n"                    \
    "ssub8 " x0 ", " t0 ", " x0 "\n sel " x0 ", %[zero], %[low]\n usada8 " x0 ", " x0 ", %[zero], " x1 "\n"
#define AT(member) [of_##member] "i"(offsetof(kb_sixteen, member))

/* Loads one after the other are faster. */
KB_INLINE void sixteen(const int8_t *x, const int8_t *below, char *to, const kb_sixteen *s, int32_t pixels)
{
    uint32_t bits, a, b, c, d;
    __asm__ volatile(".p2align 2\n"
                     "1:\n"
                     "ldr.w %[bits], [%[x]]\n ldr.w %[a], [%[x], #4]\n ldr.w %[flip], [%[t]]\n ldr.w %[made], [%[t], #4]\n"
                     ABOVE8("%[bits]", "%[a]", "%[flip]", "%[made]")
                     "ldr.w %[a], [%[x], #8]\n ldr.w %[flip], [%[x], #12]\n ldr.w %[made], [%[t], #8]\n ldr.w %[words], [%[t], #12]\n"
                     ABOVE8("%[a]", "%[flip]", "%[made]", "%[words]")
                     "orr.w %[bits], %[bits], %[a], lsl #8\n"
                     "ldr.w %[a], [%[s], %[of_pitch]]\n ldr.w %[made], [%[s], %[of_made]]\n"
                     "ldr.w %[flip], [%[s], %[of_flip]]\n ldr.w %[words], [%[s], %[of_words]]\n"
                     "add.w %[x], %[x], %[a]\n"
                     KB_STORE_SIXTEEN
                     : [x] "+r"(x), [to] "+r"(to), [pixels] "+r"(pixels), [bits] "=&r"(bits), [a] "=&r"(a),
                       [flip] "=&r"(b), [made] "=&r"(c), [words] "=&r"(d)
                     : [t] "r"(below), [s] "r"(s), [zero] "r"(0), [low] "r"(0x08040201), [high] "r"(0x80402010),
                       AT(pitch), AT(made), AT(flip), AT(words)
                     : "cc", "memory");
}
/* clang-format on */

/* x > below of up to 32 channels, the last ones first. */
KB_INLINE uint32_t reached(const int8_t *x, const int8_t *below, int32_t channels)
{
    uint32_t bits = 0;
    x += channels, below += channels;
    KB_NO_UNROLL
    for (; channels & 3; channels--)
        bits = bits << 1 | (*--x > *--below);
    KB_NO_UNROLL
    for (; channels > 0; channels -= 4) {
        x -= 4, below -= 4;
        bits = bits << 4 | kb_above4(kb_load4(x), kb_load4(below));
    }
    return bits;
}

KB_BINARIZE(kb_binarize_s8, int8_t, kb_binarize_s8_params, 1)
#else
/* x > below of up to 32 channels. */
KB_INLINE uint32_t reached(const int8_t *x, const int8_t *below, int32_t channels)
{
    uint32_t bits = 0;
    while (channels-- > 0) {
        int32_t difference = below[channels] - x[channels];
#ifdef __arm__
        KB_OPAQUE(difference); /* lest it become a branch */
#endif
        bits = 2 * bits + ((uint32_t)difference >> 31);
    }
    return bits;
}

#define sixteen(x, below, to, s, pixels) (void)(s)
KB_BINARIZE(kb_binarize_s8, int8_t, kb_binarize_s8_params, 0)
#endif
