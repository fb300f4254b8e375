/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of a Fourier transform: half of a number turned back by an angle whose cosine and sine have 16 bits, which is
   (re + i im) (cos - i sin) / 2, each product rounded down and one instruction where a core has it. */
#ifndef KB_TURN_H
#define KB_TURN_H

#include "kb_inline.h"

#ifdef __ARM_FEATURE_DSP
/* Cosine in the lower half, sine in the upper. */
typedef uint32_t kb_turn;

KB_INLINE kb_turn kb_turn_by(const int16_t *sine, int32_t quarter)
{
    return (uint16_t)sine[quarter] | (uint32_t)sine[0] << 16;
}

KB_INLINE int32_t kb_turned_re(int32_t re, int32_t im, kb_turn turn)
{
    int32_t made;
    __asm__("smulwb %0, %1, %3\n\tsmlawt %0, %2, %3, %0" : "=&r"(made) : "r"(re), "r"(im), "r"(turn));
    return made;
}

KB_INLINE int32_t kb_turned_im(int32_t re, int32_t im, kb_turn turn)
{
    int32_t made, taken;
    __asm__("smulwb %0, %1, %2" : "=r"(made) : "r"(im), "r"(turn));
    __asm__("smulwt %0, %1, %2" : "=r"(taken) : "r"(re), "r"(turn));
    return made - taken;
}
#else
typedef struct {
    int32_t cosine, sine;
} kb_turn;

/* a * b / 2^16, rounded down: without long products by halves, else as the upper word of one by 2^16 b. */
KB_INLINE int32_t kb_turn_part(int32_t a, int32_t b)
{
#ifdef __ARM_ARCH_6M__
    return (a >> 16) * b + (((a & 0xFFFF) * b) >> 16);
#else
    return (int32_t)((int64_t)a * (b * 65536) >> 32);
#endif
}

KB_INLINE kb_turn kb_turn_by(const int16_t *sine, int32_t quarter)
{
    return (kb_turn){sine[quarter], sine[0]};
}

KB_INLINE int32_t kb_turned_re(int32_t re, int32_t im, kb_turn turn)
{
    return kb_turn_part(re, turn.cosine) + kb_turn_part(im, turn.sine);
}

KB_INLINE int32_t kb_turned_im(int32_t re, int32_t im, kb_turn turn)
{
    return kb_turn_part(im, turn.cosine) - kb_turn_part(re, turn.sine);
}
#endif

/* The places of numbers in the order of the reversed bits of their own. */
#if defined(__ARM_ARCH) && __ARM_ARCH >= 7
typedef struct {
    uint32_t number, shift;
} kb_reversed;

KB_INLINE kb_reversed kb_reversed_from(int32_t number, int32_t size)
{
    return (kb_reversed){(uint32_t)number, 1 + (uint32_t)__builtin_clz((uint32_t)size)};
}

KB_INLINE uint32_t kb_reversed_next(kb_reversed *place)
{
    uint32_t made;
    __asm__("rbit %0, %1" : "=r"(made) : "r"(place->number++));
    return made >> place->shift;
}
#else
typedef struct {
    uint32_t place, size;
} kb_reversed;

KB_INLINE uint32_t kb_reversed_next(kb_reversed *place)
{
    const uint32_t made = place->place;
    uint32_t bit = place->size / 2;
    for (; place->place & bit; bit /= 2)
        place->place ^= bit;
    place->place |= bit;
    return made;
}

KB_INLINE kb_reversed kb_reversed_from(int32_t number, int32_t size)
{
    kb_reversed made = {0, (uint32_t)size};
    while (number-- > 0)
        (void)kb_reversed_next(&made);
    return made;
}
#endif

#endif
