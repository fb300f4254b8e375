/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution to one, two or three channels whose kernel is the whole map, by whose kernels it is included: with
   KB_TWICE before, results are rounded twice. Taps are read as they lie in memory, and spread to 16 bits where they are
   multiplied. Weights: [taps / 4][channels][4], taps filled up to a multiple of KB_DENSE_S8_STEP. */
#include "kb_output.h"

#ifdef __ARM_FEATURE_DSP
/* clang-format off */
/* Loads in a row cost one cycle each if no two of them move the same address; instructions are of 32 bits, since those
   that lie across words are fetched more slowly. */
#define LOAD(word, at) "ldr.w %[" #word "], [%[w], #" #at "]\n"
#define LAST_LOAD(bytes) "ldr.w %[w0], [%[w]], #" #bytes "\n"
#define LOAD_TAPS "ldr.w %[even], [%[x]], #4\n"
#define SPREAD_TAPS "sxtb16 %[odd], %[even], ror #8\n sxtb16 %[even], %[even]\n"
#define CHANNEL(word, sum)                                                                                            \
    "sxtb16 %[spread], %[" #word "]\n smlad %[" #sum "], %[spread], %[even], %[" #sum "]\n"                           \
    "sxtb16 %[" #word "], %[" #word "], ror #8\n smlad %[" #sum "], %[" #word "], %[odd], %[" #sum "]\n"
/* Four taps of all channels. */
#define ONE LOAD_TAPS LAST_LOAD(4) SPREAD_TAPS CHANNEL(w0, s0)
#define TWO LOAD_TAPS LOAD(w1, 4) LAST_LOAD(8) SPREAD_TAPS CHANNEL(w0, s0) CHANNEL(w1, s1)
#define THREE                                                                                                         \
    LOAD_TAPS LOAD(w1, 4) LOAD(w2, 8) LAST_LOAD(12) SPREAD_TAPS CHANNEL(w0, s0) CHANNEL(w1, s1) CHANNEL(w2, s2)
/* KB_DENSE_S8_STEP taps a turn. */
#define RUN(FOUR_TAPS)                                                                                                \
    __asm__ volatile(".balign 4\n 1:\n" FOUR_TAPS FOUR_TAPS "cmp %[x], %[end]\n bne 1b\n"                             \
                     : [x] "+r"(x), [w] "+r"(w), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [w0] "=&r"(w0),         \
                       [w1] "=&r"(w1), [w2] "=&r"(w2), [even] "=&r"(even), [odd] "=&r"(odd), [spread] "=&r"(spread)   \
                     : [end] "r"(end)                                                                                 \
                     : "cc", "memory")
/* clang-format on */

/* Adds the products of taps to the sums, from x to the end. */
KB_APART void add_taps(const int8_t *x, const int8_t *end, const int8_t *w, int32_t channels, int32_t *sum)
{
    int32_t s0 = sum[0], s1 = sum[1], s2 = sum[2], w0, w1, w2, even, odd, spread;
    if (channels == 1)
        RUN(ONE);
    else if (channels == 2)
        RUN(TWO);
    else
        RUN(THREE);
    sum[0] = s0, sum[1] = s1, sum[2] = s2;
}
#else
KB_INLINE void add_products(const int8_t *x, const int8_t *end, const int8_t *w, int32_t channels, int32_t *sum)
{
    int32_t sums[3] = {sum[0], sum[1], sum[2]};
    KB_NO_UNROLL
    for (; x != end; x += 4, w += 4 * channels) {
        KB_UNROLL
        for (int32_t c = 0; c < channels; c++) {
            KB_UNROLL
            for (int32_t i = 0; i < 4; i++)
                sums[c] += x[i] * w[4 * c + i];
        }
    }
    sum[0] = sums[0], sum[1] = sums[1], sum[2] = sums[2];
}

/* Adds the products of taps to the sums, from x to the end. */
KB_APART void add_taps(const int8_t *x, const int8_t *end, const int8_t *w, int32_t channels, int32_t *sum)
{
    if (channels == 1)
        add_products(x, end, w, 1, sum);
    else if (channels == 2)
        add_products(x, end, w, 2, sum);
    else
        add_products(x, end, w, 3, sum);
}
#endif

/* What is left over of the taps is copied to where as many may be read as there are weights. */
KB_INLINE void convolve(const int8_t *in, int8_t *out, const kb_dense_conv2d_s8_params *p)
{
    const int32_t left = p->taps & (KB_DENSE_S8_STEP - 1), whole = p->taps - left, channels = p->channels;
    int32_t sum[3] = {0, 0, 0};
    if (whole)
        add_taps(in, in + whole, p->weight, channels, sum);
    if (left) {
        int8_t last[KB_DENSE_S8_STEP] = {0};
        KB_NO_UNROLL
        for (int32_t i = 0; i < left; i++)
            last[i] = in[whole + i];
        add_taps(last, last + KB_DENSE_S8_STEP, p->weight + whole * channels, channels, sum);
    }
    const int32_t *channel = p->channel;
    KB_NO_UNROLL
    for (int32_t c = 0; c < channels; c++, channel += 4)
        out[c] = kb_output(sum[c], channel, p->low);
}
