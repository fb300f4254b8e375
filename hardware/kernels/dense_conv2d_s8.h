/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution to one, two or three channels whose kernel is the whole map, by whose kernels it is included: with
   KB_TWICE before, results are rounded twice. Taps are read as they lie in memory, and spread to 16 bits where they are
   multiplied. Weights: [taps / 4][channels][4], taps filled up to a multiple of KB_DENSE_S8_STEP. */
#include "kb_dsp.h"
#include "kb_output.h"

/* Four taps of all channels. */
KB_INLINE void four_taps(const int8_t *x, const int8_t *w, int32_t channels, int32_t *sum)
{
#ifdef __ARM_FEATURE_DSP
    const uint32_t values = kb_load4(x), even = kb_sxtb16(values), odd = kb_sxtb16_odd(values);
#endif
    KB_UNROLL
    for (int32_t c = 0; c < channels; c++, w += 4) {
#ifdef __ARM_FEATURE_DSP
        const uint32_t weights = kb_load4(w);
        sum[c] = kb_smlad(odd, kb_sxtb16_odd(weights), kb_smlad(even, kb_sxtb16(weights), sum[c]));
#else
        KB_UNROLL
        for (int32_t i = 0; i < 4; i++)
            sum[c] += x[i] * w[i];
#endif
    }
}

KB_INLINE void eight_taps(const int8_t *x, const int8_t *w, int32_t channels, int32_t *sum)
{
    four_taps(x, w, channels, sum);
    four_taps(x + 4, w + 4 * channels, channels, sum);
}

/* All outputs. What is left over of the taps is copied to where as many may be read as there are weights. */
KB_INLINE void make(const int8_t *x, int8_t *out, int32_t channels, const kb_dense_conv2d_s8_params *p)
{
    const int8_t *w = p->weight, *const x_end = x + p->taps / KB_DENSE_S8_STEP * KB_DENSE_S8_STEP;
    int32_t sum[3] = {0, 0, 0}, left = p->taps % KB_DENSE_S8_STEP;
    KB_NO_UNROLL
    for (; x != x_end; x += KB_DENSE_S8_STEP, w += KB_DENSE_S8_STEP * channels)
        eight_taps(x, w, channels, sum);
    if (left) {
        int8_t last[KB_DENSE_S8_STEP] = {0};
        KB_NO_UNROLL
        while (left-- > 0)
            last[left] = x[left];
        eight_taps(last, w, channels, sum);
    }
    KB_UNROLL
    for (int32_t c = 0; c < channels; c++)
        out[c] = kb_output(sum[c], p->channel + 4 * c, p->low);
}

KB_INLINE void convolve(const int8_t *in, int8_t *out, const kb_dense_conv2d_s8_params *p)
{
    if (p->channels == 1)
        make(in, out, 1, p);
    else if (p->channels == 2)
        make(in, out, 2, p);
    else
        make(in, out, 3, p);
}
