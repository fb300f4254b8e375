/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of many taps on Armv6-M, which depthwise_conv2d_wide_s8.h includes. Rows of
   weights are filled up to an even number of words; a window has up to KB_DEPTHWISE_MOST. */
#ifndef KB_DEPTHWISE_CONV2D_WIDE_S8_V6M_H
#define KB_DEPTHWISE_CONV2D_WIDE_S8_V6M_H

#include "depthwise_words.h"

typedef struct {
    lines lines;
    const int32_t *weights; /* 20 */
    int32_t row;            /* bytes of a row of them */
    const int32_t *weights_end;
    ending ending;
} walk;

/* clang-format off */
/* The registers above r7: the end of a row of weights in r9, down in r10, the output in r11, beside in r12, the end in
   lr; of a window, the sums in r6 and r7. */
KB_APART __attribute__((naked)) void outputs(const walk *w)
{
    __asm__("push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4-r7}\n"
            "ldmia r0!, {r2-r6}\n mov r11, r3\n mov lr, r4\n mov r12, r5\n mov r10, r6\n push {r0, r1}\n mov r0, r2\n"
            "1: ldr r2, [sp]\n ldmia r2!, {r1, r3, r4}\n mov r8, r3\n str r4, [sp, #4]\n movs r6, #0\n movs r7, #0\n"
            "5: mov r2, r8\n adds r2, r2, r1\n mov r9, r2\n"
            ".balign 4\n"
            "6: ldmia r0!, {r2, r3}\n ldmia r1!, {r4, r5}\n muls r2, r4, r2\n muls r3, r5, r3\n adds r2, r2, r3\n"
            "sxth r3, r2\n adds r6, r6, r3\n asrs r2, r2, #8\n adds r7, r7, r2\n cmp r1, r9\n bne 6b\n"
            "add r0, r10\n ldr r2, [sp, #4]\n cmp r1, r2\n bne 5b\n"
            "ldr r1, [sp]\n adds r1, #12\n mov r3, r6\n mov r4, r7\n"
            END_OF_PAIR "b 1b\n" END_OF_LINE "b 1b\n" "4: add sp, #8\n" END);
}
/* clang-format on */

KB_APART void channel(const tile *t, int32_t c, int8_t *out)
{
    const int32_t pitch = (t->along.kernel + 1) & ~1, words = pitch * t->across.kernel;
    int32_t *const weights = t->plane - words;
    for (int32_t i = pitch - 1; i < words; i += pitch)
        weights[i] = 0;
    const int32_t sum = spread_weights(t, c, weights, pitch);
    const walk w = {lines_of(t, out, pitch), weights, 4 * pitch, weights + words,
                    ending_of(t, c, sum, out, t->across.kernel * t->pitch)};
    KB_STORED(&w);
    outputs(&w);
}

#define CONVOLVE(in, out, scratch, p, r)                                                                               \
    by_tiles(in, out, (int32_t *)(scratch) + (p)->window.kernel_h * ((p)->window.kernel_w + 1) + (p)->window.kernel_w, \
             p, r)

#endif
