/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of up to five taps along one axis with a stride of 1, and one along the other,
   by whose kernels it is included: with KB_TWICE before, results are rounded twice. Four outputs of a row, or column,
   at a time, but of three taps as depthwise_short_s8.h says. Armv6-M makes it as one of many taps
   (depthwise_conv2d_wide_s8_v6m.h), other cores without the DSP extension as any other (depthwise_conv2d_s8.h). */
#ifndef KB_DEPTHWISE_CONV2D_LINE_S8_H
#define KB_DEPTHWISE_CONV2D_LINE_S8_H

#ifdef __ARM_FEATURE_DSP
#define PITCH(across) (across)->extent
#include "depthwise_columns.h"
#include "depthwise_short_s8.h"

/* clang-format off */
/* The first output of a pair has the weights (w0, w1), (w2, w3) and (w4, 0) in r7 to r9, the second (0, w0), (w1, w2) and
   (w3, w4) in r4 to r6. A word's products with the `i`-th of them are added to the sums a and b; b begins with `begin`. */
#define ADD(a, b, begin, word, first, second)                                                                         \
    "smlad " b ", " word ", " second ", " begin "\n smlad " a ", " word ", " first ", " a "\n"
#define SUMS                                                                                                          \
    BIAS("r1") "ldr.w r11, [r0, #16]\n ldr.w r10, [r0], #32\n"                                                        \
    ADD("r1", "r3", "r1", "r10", "r7", "r4") ADD("r1", "r3", "r3", "r11", "r8", "r5")                                 \
    BIAS("r12") "ldr.w r10, [r0]\n" ADD("r12", "lr", "r12", "r11", "r7", "r4") "ldr.w r11, [r0, #16]\n"               \
    ADD("r1", "r3", "r3", "r10", "r9", "r6") ADD("r12", "lr", "lr", "r10", "r8", "r5")                                \
    ADD("r12", "lr", "lr", "r11", "r9", "r6")
#define PAIR                                                                                                          \
    BIAS("r1") "ldr.w r11, [r0, #16]\n ldr.w r10, [r0]\n"                                                             \
    ADD("r1", "r3", "r1", "r10", "r7", "r4") "ldr.w r10, [r0, #32]\n" ADD("r1", "r3", "r3", "r11", "r8", "r5")         \
    ADD("r1", "r3", "r3", "r10", "r9", "r6")

/* All outputs of four channels. */
KB_APART __attribute__((naked)) void columns(const walk *w)
{
    COLUMNS("", SUMS, PAIR);
}
/* clang-format on */

/* The weights of four channels as above, the second output's first. */
KB_APART void line_weights(const tile *t, const int8_t *w, uint32_t *to)
{
    static const block words = {4, 8, 4 - 3 * 8, 0, 2, 3};
    uint32_t taps[7] = {0, 0, 0, 0, 0, 0, 0};
    KB_NO_UNROLL
    for (int32_t i = 1; i <= t->along.kernel; i++, w += t->along.weight)
        taps[i] = kb_load4(w);
    KB_STORED(taps);
    spread_both((const int8_t *)taps, to, 0, &words);
    KB_STORED(to);
}

KB_APART void quad(const tile *t, int32_t c)
{
    const int32_t beside = t->along.out, count = t->along.to - t->along.from, pairs = count / 2, blocks = pairs / 2;
    const int32_t *const channel = t->p->channel + 3 * c;
    uint32_t weights[6 * QUAD];
    walk w = {2 * beside, beside,    pairs % 2,  4 * blocks * beside,    2,   0, weights,
              channel,    t->planes, t->out + c, 2 * t->p->out_zero + 1, QUAD};
    line_weights(t, t->p->weight + c, weights);
    shift_weights(channel, weights, weights + 6 * QUAD);
    KB_STORED(&w);
    if (pairs > 0)
        columns(&w);
    if (count % 2) {
        w.odd = 1, w.span = 0, w.count = 1;
        w.plane += QUAD * pairs, w.out += 2 * pairs * beside;
        KB_STORED(&w);
        columns(&w);
    }
}

KB_INLINE void by_taps(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                       const kb_region *r)
{
    const kb_window *g = &p->window;
    if (g->kernel_h * g->kernel_w == 3 && g->stride_h == 1 && g->stride_w == 1)
        by_channels(in, out, p, r);
    else
        by_tiles(in, out, scratch, p, r);
}

#define CONVOLVE(in, out, scratch, p, r) by_taps(in, out, scratch, p, r)
#elif defined(__ARM_ARCH_6M__)
#include "depthwise_conv2d_wide_s8_v6m.h"
#else
#include "depthwise_conv2d_s8.h"

#define CONVOLVE(in, out, scratch, p, r) convolve_copies(in, out, scratch, p, r)
#endif

#endif
