/* Pieces that several kernels share. */
#ifndef KB_INLINE_H
#define KB_INLINE_H

#include "kb_kernels.h"

#define KB_INLINE static inline __attribute__((always_inline))
#define KB_KERNEL __attribute__((aligned(16)))
/* A function of its own, so that its loops have the registers to themselves. */
#define KB_APART static __attribute__((noinline, aligned(16)))
/* Hides what is known about a variable, so that a loop keeps one pointer instead of one per use of it. */
#define KB_OPAQUE(variable) __asm__("" : "+r"(variable))

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
    if (acc == (int32_t)acc && shift >= 33)
        return (((int32_t)(((int64_t)(int32_t)acc * multiplier) >> 32) >> (shift - 33)) + 1) >> 1;
    return (int32_t)((((acc * multiplier) >> (shift - 1)) + 1) >> 1);
}

/* A requantised value plus zero point, clamped to [low, 127]. */
KB_INLINE int8_t kb_saturate(int32_t value, int32_t zero, int32_t low)
{
    return (int8_t)(kb_min(kb_max(value, low - zero), 127 - zero) + zero);
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

/* Set bits of a word, for cores without an instruction for it. */
KB_INLINE int32_t kb_popcount(uint32_t v)
{
#ifdef __POPCNT__
    return __builtin_popcount(v);
#else
    v = v - ((v >> 1) & 0x55555555u);
    v = (v & 0x33333333u) + ((v >> 2) & 0x33333333u);
    v = (v + (v >> 4)) & 0x0F0F0F0Fu;
    return (int32_t)((v * 0x01010101u) >> 24);
#endif
}

/* Binary convolution of one pixel with `count` output channels from weights `w`: sums of products of signs. */
KB_INLINE void kb_b1_accumulate(const uint32_t *in, const uint32_t *w, const kb_window *g, kb_span row, kb_span column,
                                int32_t count, int32_t *acc)
{
    const int32_t words = kb_words(g->in.channels);
    const int32_t stride = g->kernel_h * g->kernel_w * words;
    const int32_t valid = (row.to - row.from) * (column.to - column.from) * g->in.channels;
    int32_t differing[4] = {0, 0, 0, 0};
    for (int32_t ky = row.from; ky < row.to; ky++) {
        const uint32_t *x = in + ((row.start + ky) * g->in.width + column.start + column.from) * words;
        const uint32_t *v = w + (ky * g->kernel_w + column.from) * words;
        for (int32_t i = 0; i < (column.to - column.from) * words; i++)
            for (int32_t o = 0; o < count; o++)
                differing[o] += kb_popcount(x[i] ^ v[o * stride + i]);
    }
    for (int32_t o = 0; o < count; o++)
        acc[o] = valid - 2 * differing[o];
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
