/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution of any groups, dilation and weights; taps on padding hold the zero point, that is 0, and are
   skipped. */
#include "kb_dsp.h"
#include "kb_generic.h"

/* On cores with the DSP extension four channels at a time. */
KB_INLINE void add_tap(int32_t *acc, const int8_t *x, int32_t apart, const int8_t *w, int32_t next,
                       const kb_grouped_conv2d_s8_params *p, int32_t count)
{
    int32_t i = 0;
#ifdef __ARM_FEATURE_DSP
    const uint32_t minus_zero = (uint32_t)-p->in_zero & 0xFFFF, offset = minus_zero << 16 | minus_zero;
    for (; i + 4 <= p->group_in; i += 4)
        for (int32_t j = 0; j < count; j++) {
            const uint32_t four = kb_load4(x + j * apart + i), weights = kb_load4(w + j * next + i);
            acc[j] = kb_smlad(kb_sxtab16(offset, four), kb_sxtb16(weights), acc[j]);
            acc[j] = kb_smlad(kb_sxtab16_odd(offset, four), kb_sxtb16_odd(weights), acc[j]);
        }
#endif
    for (; i < p->group_in; i++)
        for (int32_t j = 0; j < count; j++)
            acc[j] += (x[j * apart + i] - p->in_zero) * w[j * next + i];
}

KB_INLINE int8_t finish(const kb_grouped_conv2d_s8_params *p, int32_t acc, int32_t o)
{
    const int32_t *channel = p->channel + 4 * o, value = KB_BY_CHANNEL(acc + channel[0], channel, p->out_zero);
    return kb_saturate(value, p->low);
}

KB_GROUPED_CONV2D(kb_grouped_conv2d_s8, int8_t, int32_t, kb_grouped_conv2d_s8_params)
