/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of cores with the DSP extension, and loads of four int8 values at once. */
#ifndef KB_DSP_H
#define KB_DSP_H

#include <stdint.h>

#ifdef __ARM_FEATURE_DSP
#include <arm_acle.h>

/* Bytes 0 and 2 of x, sign-extended to halfwords. */
static inline uint32_t kb_sxtb16(uint32_t x)
{
    return (uint32_t)__sxtb16((int32_t)x);
}

/* The same of bytes 1 and 3. */
static inline uint32_t kb_sxtb16_odd(uint32_t x)
{
    return (uint32_t)__sxtb16((int32_t)(x >> 8 | x << 24));
}

/* Halfwords of a plus bytes 0 and 2 of x. */
static inline uint32_t kb_sxtab16(uint32_t a, uint32_t x)
{
    return (uint32_t)__sxtab16((int32_t)a, (int32_t)x);
}

/* Halfwords of a plus bytes 1 and 3 of x. */
static inline uint32_t kb_sxtab16_odd(uint32_t a, uint32_t x)
{
    return (uint32_t)__sxtab16((int32_t)a, (int32_t)(x >> 8 | x << 24));
}

/* Halfwords shifted to the left, where both stay in range. */
static inline uint32_t kb_shift16(uint32_t a, int32_t left)
{
    return (a & 0xFFFF0000) << left | (a << left & 0xFFFF);
}

/* acc plus the products of the low and of the high halfwords. */
static inline int32_t kb_smlad(uint32_t a, uint32_t b, int32_t acc)
{
    return __smlad((int32_t)a, (int32_t)b, acc);
}

/* Clamped to int8. */
static inline int32_t kb_ssat8(int32_t a)
{
    return __ssat(a, 8);
}

/* The larger of each pair of signed bytes. */
static inline uint32_t kb_max4(uint32_t a, uint32_t b)
{
    uint32_t larger;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(larger) : "r"(a), "r"(b) : "cc");
    return larger;
}

/* Bit i is whether the signed byte i of a is above that of b. */
static inline uint32_t kb_above4(uint32_t a, uint32_t b)
{
    uint32_t above;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %3, %4\n\tusad8 %0, %0, %3"
            : "=&r"(above)
            : "r"(b), "r"(a), "r"(0), "r"(0x08040201)
            : "cc");
    return above;
}

/* Four values from any address. */
static inline uint32_t kb_load4(const int8_t *from)
{
    uint32_t x;
    __builtin_memcpy(&x, from, 4);
    return x;
}
#endif

#endif
