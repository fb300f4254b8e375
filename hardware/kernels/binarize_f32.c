/* SPDX-License-Identifier: Apache-2.0 */
/* Signs of float maps. */
#include "kb_binarize.h"

#if defined(__thumb2__) && defined(__ARM_FP)
/* clang-format off */
/* The carry is set if below >= x, or where either is no number. Flags come through an instruction later. */
#define COMPARE(x, below) "vcmp.f32 " below ", " x "\n"
#define FLAGS "vmrs APSR_nzcv, fpscr\n"
#define SHIFT_IN "adc.w %[bits], %[bits], %[bits]\n"
#define FIRST(x, below) COMPARE("s" #x, "s" #below) FLAGS
#define NEXT(x, below) COMPARE("s" #x, "s" #below) SHIFT_IN FLAGS

/* Limits stay in s16 to s31. */
KB_INLINE void sixteen(const float *x, const int32_t *below, char *to, const kb_sixteen *s, int32_t pixels)
{
    int32_t bits;
    __asm__ volatile("vldmia %[below], {s16-s31}\n"
                     ".p2align 2\n"
                     "1:\n"
                     "vldmia %[x], {s0-s15}\n"
                     "add.w %[x], %[x], %[pitch]\n mov.w %[bits], #0\n"
                     FIRST(15, 31) NEXT(14, 30) NEXT(13, 29) NEXT(12, 28)
                     NEXT(11, 27) NEXT(10, 26) NEXT(9, 25) NEXT(8, 24)
                     NEXT(7, 23) NEXT(6, 22) NEXT(5, 21) NEXT(4, 20)
                     NEXT(3, 19) NEXT(2, 18) NEXT(1, 17) NEXT(0, 16) SHIFT_IN
                     KB_STORE_SIXTEEN
                     : [x] "+r"(x), [to] "+r"(to), [pixels] "+r"(pixels), [bits] "=&r"(bits)
                     : [below] "r"(below), [pitch] "r"(s->pitch), [words] "r"(s->words), [made] "r"(s->made),
                       [flip] "r"(s->flip ^ 0xFFFF >> s->made)
                     : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12",
                       "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26",
                       "s27", "s28", "s29", "s30", "s31");
}

/* x > below of up to 32 channels, the last ones first. */
KB_INLINE uint32_t reached(const float *x, const int32_t *below, int32_t channels)
{
    uint32_t bits = ~0u;
    x += channels, below += channels;
    KB_NO_UNROLL
    for (; channels & 3; channels--)
        __asm__("vldmdb %[x]!, {s0}\n vldmdb %[below]!, {s4}\n" FIRST(0, 4) SHIFT_IN
                : [bits] "+r"(bits), [x] "+r"(x), [below] "+r"(below) : : "cc", "memory", "s0", "s4");
    KB_NO_UNROLL
    for (; channels > 0; channels -= 4)
        __asm__("vldmdb %[x]!, {s0-s3}\n vldmdb %[below]!, {s4-s7}\n"
                FIRST(3, 7) NEXT(2, 6) NEXT(1, 5) NEXT(0, 4) SHIFT_IN
                : [bits] "+r"(bits), [x] "+r"(x), [below] "+r"(below)
                : : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7");
    return ~bits;
}
/* clang-format on */

KB_BINARIZE(kb_binarize_f32, float, kb_binarize_f32_params, 1)
#else
/* A float's bits as an integer of the same order; -0 comes right before 0, and what is no number first. */
KB_INLINE int32_t ordered(int32_t bits)
{
    const int32_t integer = bits ^ (int32_t)((uint32_t)(bits >> 31) >> 1);
    return integer > 0x7F800000 ? INT32_MIN : integer;
}

/* x > below of up to 32 channels. */
KB_INLINE uint32_t reached(const float *x, const int32_t *below, int32_t channels)
{
    uint32_t bits = 0;
    while (channels-- > 0) {
        int32_t value;
        __builtin_memcpy(&value, x + channels, 4);
        bits = bits << 1 | (ordered(value) > ordered(below[channels]));
    }
    return bits;
}

#define sixteen(x, below, to, s, pixels) (void)(s)
KB_BINARIZE(kb_binarize_f32, float, kb_binarize_f32_params, 0)
#endif
