/* Pieces that several kernels share. */
#ifndef KB_INLINE_H
#define KB_INLINE_H

#include "kb_kernels.h"

#define KB_INLINE static inline __attribute__((always_inline))
#define KB_KERNEL __attribute__((aligned(16)))
#define KB_NOINLINE __attribute__((noinline, aligned(16)))

/* Before a loop of few turns: clang would unroll it for many. */
#ifdef __clang__
#define KB_ROLLED _Pragma("clang loop unroll(disable) vectorize(disable)")
#else
#define KB_ROLLED
#endif

KB_INLINE int32_t kb_max(int32_t a, int32_t b) { return a > b ? a : b; }
KB_INLINE int32_t kb_min(int32_t a, int32_t b) { return a < b ? a : b; }
KB_INLINE int32_t kb_words(int32_t channels) { return (channels + 31) / 32; }

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

/* acc * multiplier * 2^-shift, rounded once, half up. */
KB_INLINE int32_t kb_requantise(int64_t acc, int32_t multiplier, int32_t shift)
{
    return (int32_t)((((acc * multiplier) >> (shift - 1)) + 1) >> 1);
}

/* A requantised value plus zero point, clamped to [low, 127]. */
KB_INLINE int8_t kb_saturate(int32_t value, int32_t zero, int32_t low)
{
    const int64_t sum = (int64_t)value + zero;
    return (int8_t)(sum < low ? low : sum > 127 ? 127 : sum);
}

/* Runs `STEP(o, count)` over all output channels, four at a time and the rest one at a time. */
#define KB_FOR_CHANNELS(channels, STEP)                                                                               \
    do {                                                                                                              \
        int32_t o_ = 0;                                                                                               \
        for (; o_ + 4 <= (channels); o_ += 4)                                                                         \
            STEP(o_, 4);                                                                                              \
        for (; o_ < (channels); o_++)                                                                                 \
            STEP(o_, 1);                                                                                              \
    } while (0)

#endif
