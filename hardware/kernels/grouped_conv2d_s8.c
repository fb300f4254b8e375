/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of any groups, dilation and weights. Taps on padding hold the zero point, that is 0, and are
   skipped. Weights of a tap: [group_in / 4][outputs of the block][4], then those of what is left over,
   [channels][outputs]. */
#include "kb_dsp.h"
#include "kb_grouped.h"

#ifdef __ARM_FEATURE_DSP
/* The input's zero point, taken from two halfwords. */
KB_INLINE uint32_t minus_zero(const kb_grouped_conv2d_s8_params *p)
{
    const uint32_t half = (uint32_t)-p->in_zero & 0xFFFF;
    return half << 16 | half;
}

/* clang-format off */
/* Four channels, in `even` and `odd`, for the output whose weights are in `w`. */
#define ONE_OUTPUT(acc, w)                                                                                            \
    "sxtb16 %[t], " w "\n sxtb16 " w ", " w ", ror #8\n"                                                              \
    "smlad " acc ", %[even], %[t], " acc "\n smlad " acc ", %[odd], " w ", " acc "\n"
/* Channels up to `end`, four at a time, for four outputs. */
KB_INLINE const int8_t *add_fours(int32_t *acc, const int8_t *x, const int8_t *w, const int8_t *end, uint32_t zero)
{
    uint32_t even, odd, a, b, t;
    __asm__(".balign 4\n"
            "1: ldr.w %[even], [%[x]], #4\n ldr.w %[a], [%[w]], #16\n ldr %[b], [%[w], #-12]\n"
            "sxtab16 %[odd], %[zero], %[even], ror #8\n sxtab16 %[even], %[zero], %[even]\n"
            ONE_OUTPUT("%[s0]", "%[a]") ONE_OUTPUT("%[s1]", "%[b]")
            "ldr %[a], [%[w], #-8]\n ldr %[b], [%[w], #-4]\n"
            ONE_OUTPUT("%[s2]", "%[a]") ONE_OUTPUT("%[s3]", "%[b]")
            "cmp %[x], %[end]\n bne.w 1b\n"
            : [s0] "+r"(acc[0]), [s1] "+r"(acc[1]), [s2] "+r"(acc[2]), [s3] "+r"(acc[3]), [x] "+r"(x), [w] "+r"(w),
              [even] "=&r"(even), [odd] "=&r"(odd), [a] "=&r"(a), [b] "=&r"(b), [t] "=&r"(t)
            : [zero] "r"(zero), [end] "r"(end)
            : "memory", "cc");
    return w;
}
/* clang-format on */
#endif

KB_INLINE void add_tap(int32_t *acc, const int8_t *x, const int8_t *w, const int32_t *at,
                       const kb_grouped_conv2d_s8_params *p, int32_t count, int32_t reads)
{
    if (reads == KB_SAME) {
        const int8_t *const end = x + p->group_in, *const whole = end - p->group_in % 4;
#ifdef __ARM_FEATURE_DSP
        if (count == 4 && x != whole) {
            w = add_fours(acc, x, w, whole, minus_zero(p));
            x = whole;
        }
#endif
        KB_NO_UNROLL
        for (; x != whole; x += 4)
            for (int32_t j = 0; j < count; j++, w += 4)
                for (int32_t i = 0; i < 4; i++)
                    acc[j] += (x[i] - p->in_zero) * w[i];
        KB_NO_UNROLL
        for (; x != end; x++, w += count)
            for (int32_t j = 0; j < count; j++)
                acc[j] += (*x - p->in_zero) * w[j];
        return;
    }
#ifdef __ARM_FEATURE_DSP
    if (reads == KB_SIDE && count == 4) {
        const uint32_t four = kb_load4(x), weights = kb_load4(w), offset = minus_zero(p);
        const uint32_t even = kb_sxtab16(offset, four), odd = kb_sxtab16_odd(offset, four);
        const uint32_t w_even = kb_sxtb16(weights), w_odd = kb_sxtb16_odd(weights);
        acc[0] += (int16_t)even * (int16_t)w_even, acc[2] += ((int32_t)even >> 16) * ((int32_t)w_even >> 16);
        acc[1] += (int16_t)odd * (int16_t)w_odd, acc[3] += ((int32_t)odd >> 16) * ((int32_t)w_odd >> 16);
        return;
    }
#endif
    for (int32_t j = 0; j < count; j++)
        acc[j] += (x[at[j]] - p->in_zero) * w[j];
}

KB_INLINE int8_t finish(const kb_grouped_conv2d_s8_params *p, int32_t acc, int32_t o)
{
    const int32_t *channel = p->channel + 4 * o, value = KB_BY_CHANNEL(acc + channel[0], channel, p->out_zero);
    return kb_saturate(value, p->low);
}

KB_GROUPED_CONV2D(kb_grouped_conv2d_s8, int8_t, int32_t, kb_grouped_conv2d_s8_params)
