/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces that several kernels share. */
#ifndef KB_INLINE_H
#define KB_INLINE_H

#include "kb_kernels.h"

#define KB_INLINE static inline __attribute__((always_inline))
/* Before a loop of few turns. */
#ifdef __clang__
#define KB_NO_UNROLL _Pragma("clang loop unroll(disable) vectorize(disable)")
#else
#define KB_NO_UNROLL
#endif
/* Before a loop of at most four turns whose values are to stay in registers; clang does not need to be told. */
#ifdef __clang__
#define KB_UNROLL
#else
#define KB_UNROLL _Pragma("GCC unroll 4")
#endif
/* Where code lies moves its speed: entry points are aligned. */
#define KB_KERNEL __attribute__((aligned(16)))
/* A function of its own, so that its loops have the registers to themselves. */
#define KB_APART static __attribute__((noinline, aligned(16)))
/* A function that is seldom called: small rather than fast. */
#ifdef __clang__
#define KB_RARE __attribute__((noinline, cold, minsize))
#else
#define KB_RARE __attribute__((noinline, cold))
#endif
/* Hides what is known about a variable, so that a loop keeps one pointer instead of one per use of it. */
#define KB_OPAQUE(variable) __asm__("" : "+r"(variable))

/* The value of a macro as a string, for assembly. */
#define KB_QUOTED(text) #text
#define KB_TEXT(macro) KB_QUOTED(macro)

KB_INLINE int32_t kb_max(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

KB_INLINE int32_t kb_min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

KB_INLINE int32_t kb_words(int32_t channels)
{
    return (channels + 31) / 32;
}

/* What a pointer leads to is read by assembly that the compiler does not look into. */
#define KB_STORED(pointer) __asm__ volatile("" ::"r"(pointer) : "memory")

/* The taps [from, to) of a kernel starting at `start` that lie inside a map of `size`; empty ranges have from == to. */
typedef struct {
    int32_t start, from, to;
} kb_span;

KB_INLINE kb_span kb_clip(int32_t start, int32_t kernel, int32_t size)
{
    kb_span span = {start, kb_min(kb_max(0, -start), kernel), kb_max(kb_min(kernel, size - start), 0)};
    span.to = kb_max(span.from, span.to);
    return span;
}

/* ReLU of a float by its sign bit, which needs no comparison: -0 becomes 0. The mask switches it on or off. */
KB_INLINE int32_t kb_relu_mask(int32_t relu)
{
    int32_t mask = relu ? -1 : 0;
    KB_OPAQUE(mask);
    return mask;
}

KB_INLINE float kb_masked_relu(float value, int32_t mask)
{
    int32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    bits &= ~(bits >> 31 & mask);
    __builtin_memcpy(&value, &bits, 4);
    return value;
}

/* offset + the upper word of a * b. */
KB_INLINE int32_t kb_multiply_high(int32_t a, int32_t b, int32_t offset)
{
#ifdef __ARM_FEATURE_DSP
    __asm__("smmla %0, %1, %2, %0" : "+r"(offset) : "r"(a), "r"(b));
    return offset;
#else
    return offset + (int32_t)((int64_t)a * b >> 32);
#endif
}

/* offset + the upper word of a * b, rounded half up. */
KB_INLINE int32_t kb_multiply_high_rounded(int32_t a, int32_t b, int32_t offset)
{
#ifdef __ARM_FEATURE_DSP
    __asm__("smmlar %0, %1, %2, %0" : "+r"(offset) : "r"(a), "r"(b));
    return offset;
#else
    return offset + (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
#endif
}

/* acc * multiplier * 2^-shift, rounded once, half up, in [-2^30, 2^30]. */
int32_t kb_requantise_once(int64_t acc, int32_t multiplier, int32_t shift);

/* The same; with a shift above 64 rounded twice, by the shift - 64 (docs/arithmetic.md). */
int32_t kb_requantise(int64_t acc, int32_t multiplier, int32_t shift);

/* The upper word of twice the product, half up; then its division by 2^right, half away from zero (gemmlowp,
   fixedpoint.h). */
KB_INLINE int32_t kb_round_twice(int32_t x, int32_t multiplier, int32_t right)
{
    const int32_t high = (int32_t)(((int64_t)x * multiplier + (1 << 30)) >> 31), rest = (int32_t)((1u << right) - 1);
    return (high >> right) + ((high & rest) > (rest >> 1) + (high < 0));
}

/* The same as kb_round_twice where |x| is below 2^30: what rounds half away from zero is one less below zero. */
KB_INLINE int32_t kb_round_small_twice(int32_t x, int32_t multiplier, int32_t right)
{
    const int32_t half = (int32_t)((1u << right) >> 1);
    return (kb_multiply_high_rounded(2 * x, multiplier, half) + (x >> 31 & -(half > 0))) >> right;
}

/* Clamped to [low, 127]. */
KB_INLINE int8_t kb_saturate(int32_t value, int32_t low)
{
#ifdef __ARM_FEATURE_DSP
    __asm__("ssat %0, #8, %0" : "+r"(value));
    return (int8_t)(__builtin_constant_p(low) && low == -128 ? value : kb_max(value, low));
#else
    return (int8_t)kb_min(kb_max(value, low), 127);
#endif
}

/* A channel's output, not clamped yet, from its sum and bias by the multiplier, offset and shift of
   kb_conv2d_s8_params. A macro: a function's arguments would be loaded before kb_requantise is called. */
#define KB_BY_CHANNEL(acc, channel, zero)                                                                              \
    ((channel)[3] > 0 ? kb_multiply_high(acc, (channel)[1], (channel)[2]) >> (channel)[3]                              \
                      : kb_requantise(acc, (channel)[1], -(channel)[3]) + (zero))

/* Runs `STEP(o, count)` over all output channels, four at a time and the rest one at a time. */
#define KB_FOR_CHANNELS(channels, STEP)                                                                                \
    do {                                                                                                               \
        int32_t o_ = 0;                                                                                                \
        for (; o_ + 4 <= (channels); o_ += 4)                                                                          \
            STEP(o_, 4);                                                                                               \
        for (; o_ < (channels); o_++)                                                                                  \
            STEP(o_, 1);                                                                                               \
    } while (0)

#endif
