/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 on Armv6-M, which depthwise_conv2d_3x3_s8.h includes. */
#ifndef KB_DEPTHWISE_CONV2D_3X3_S8_V6M_H
#define KB_DEPTHWISE_CONV2D_3X3_S8_V6M_H

#include "depthwise_words.h"

typedef struct {
    lines lines;
    int32_t weight[9];
    ending ending;
} walk;

/* clang-format off */
/* Three taps: the sums of the first two in the halves of r2, the third in those of r4. */
#define ROW                                                                                                           \
    "ldmia r0!, {r2, r3, r4}\n ldmia r1!, {r5, r6, r7}\n muls r2, r5, r2\n muls r3, r6, r3\n adds r2, r2, r3\n"       \
    "muls r4, r7, r4\n"

/* The registers above r7: sums in r8 and r9, down in r10, the output in r11, beside in r12, the end in lr. */
KB_APART __attribute__((naked)) void outputs(const walk *w)
{
    __asm__("push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4-r7}\n"
            "ldmia r0!, {r2-r6}\n mov r11, r3\n mov lr, r4\n mov r12, r5\n mov r10, r6\n mov r1, r0\n mov r0, r2\n"
            ".balign 4\n"
            "1: " ROW FIRST("r2") ADD("r4") "add r0, r10\n" ROW ADD("r2") ADD("r4") "add r0, r10\n" ROW ADD("r2") LAST
            END_OF_PAIR "2: subs r1, #56\n b 1b\n" END_OF_LINE "b 2b\n" "4: " END);
}
/* clang-format on */

KB_APART void channel(const tile *t, int32_t c, int8_t *out)
{
    walk w = {.lines = lines_of(t, out, 3)};
    w.ending = ending_of(t, c, spread_weights(t, c, w.weight, 3), out, 2 * t->pitch + 3);
    KB_STORED(&w);
    outputs(&w);
}

#define CONVOLVE(in, out, scratch, p, r) by_tiles(in, out, scratch, p, r)

#endif
