/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution on Armv6-M: what depthwise_words.h, which includes this, and its kernels do in assembly.
 */
#ifndef KB_DEPTHWISE_WORDS_V6M_H
#define KB_DEPTHWISE_WORDS_V6M_H

#include "kb_v6m.h"

/* What assembly reads of the lines of outputs, each at four times its place: the first window, where the first line of
   outputs begins and ends and how far they lie from each other, and how far the next row of a window is from the end of
   one. */
typedef struct {
    const int32_t *plane;
    int8_t *out, *end;
    int32_t beside, down;
} lines;

/* After the weights: the shift to the left and the bias, the halves of the multiplier, the shift to the right, the
   offset; from the end of a window, how far the next two windows of the line are; the end of the last line; from the
   end of a line to the next one; from its end to that one's; and from the end of its last window to the first one. */
typedef struct {
    int32_t left, bias, low, high, right, offset, next;
    const int8_t *last;
    int32_t back, below, first;
} ending;

/* clang-format off */
/* Two outputs of their sums in r3 and r4 (kb_v6m.h), by the `ending` at r1, whose offset r1 is left at; then r0 is at
   the next two windows. A line may end with the first of them, at 3; the last one leaves by 4. */
#define STORE "mov r7, r11\n strb r2, [r7]\n add r7, r12\n mov r11, r7\n cmp r7, lr\n beq 3f\n"
#define OFFSET "ldr r3, [r1]\n adds r2, r2, r3\n"
#define END_OF_PAIR                                                                                                   \
    LATER "ldmia r1!, {r5, r6}\n lsls r3, r5\n lsls r4, r5\n adds r2, r3, r6\n adds r4, r4, r6\n mov r8, r4\n"       \
    "ldmia r1!, {r4, r5, r6}\n" OUTPUT(OFFSET) STORE "mov r2, r8\n" OUTPUT(OFFSET) STORE                              \
    "ldr r3, [r1, #4]\n adds r0, r0, r3\n"
#define END_OF_LINE                                                                                                   \
    "3: ldr r3, [r1, #8]\n cmp r7, r3\n beq 4f\n ldr r3, [r1, #12]\n add r11, r3\n ldr r3, [r1, #16]\n add lr, r3\n"   \
    "ldr r3, [r1, #20]\n adds r0, r0, r3\n"
#define END                                                                                                           \
    "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n"
/* clang-format on */

/* The weights of channel c to rows of `pitch` words; their sum. */
KB_INLINE int32_t spread_weights(const tile *t, int32_t c, int32_t *to, int32_t pitch)
{
    int32_t sum = 0;
    const int8_t *row = t->p->weight + c;
    KB_NO_UNROLL
    for (int32_t y = 0; y < t->across.kernel; y++, row += t->across.weight, to += pitch) {
        const int8_t *weight = row;
        KB_NO_UNROLL
        for (int32_t x = 0; x < t->along.kernel; x++, weight += t->along.weight)
            sum += to[x] = *weight;
    }
    return sum;
}

/* The numbers of channel c, whose weights have that sum and whose outputs begin at `out`; a window ends `window` words
   after it began. */
KB_INLINE ending ending_of(const tile *t, int32_t c, int32_t sum, const int8_t *out, int32_t window)
{
    const scaling s = scaling_of(t->p->channel + 3 * c, t->p->out_zero);
    const int32_t count = t->along.to - t->along.from, line = count * t->along.out, stride = t->along.stride;
    return (ending){s.left,
                    s.bias - t->p->in_zero * sum * (1 << s.left),
                    (int16_t)s.multiplier,
                    (int32_t)(((uint32_t)s.multiplier + 0x8000) >> 16),
                    s.right,
                    s.offset,
                    4 * (2 * stride - window),
                    out + (t->across.to - t->across.from - 1) * t->across.out + line,
                    t->across.out - line,
                    t->across.out,
                    4 * (t->across.stride * t->pitch - ((count - 1) & ~1) * stride - window)};
}

/* Rows of weights have `row` words. */
KB_INLINE lines lines_of(const tile *t, int8_t *out, int32_t row)
{
    return (lines){t->plane + t->along.stride, out, out + (t->along.to - t->along.from) * t->along.out, t->along.out,
                   4 * (t->pitch - row)};
}

/* Raises the outputs of a channel to `low`. */
KB_APART void clamp(const tile *t, int8_t *line)
{
    const int32_t low = t->p->low;
    for (int32_t y = t->across.from; y < t->across.to; y++, line += t->across.out) {
        int8_t *out = line;
        KB_NO_UNROLL
        for (int32_t x = t->along.from; x < t->along.to; x++, out += t->along.out)
            *out = (int8_t)kb_max(*out, low);
    }
}

/* clang-format off */
/* Words of each value and the one before it, which is the zero point for the first; and one of the last and zero. */
KB_APART __attribute__((naked)) void spread_values(const values *v)
{
    __asm__("push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4-r7}\n"
            "ldmia r0!, {r2, r3, r6, r7}\n push {r2, r3}\n ldmia r0!, {r1-r5}\n mov r8, r1\n mov r9, r2\n"
            "mov r10, r3\n mov r11, r4\n mov r12, r5\n ldr r0, [r0]\n mov lr, r0\n movs r2, #0\n"
            "1: ldr r0, [sp]\n ldr r1, [sp, #4]\n mov r4, r7\n"
            ".balign 4\n"
            "2: ldrsb r5, [r0, r2]\n lsls r3, r5, #16\n adds r3, r3, r4\n str r3, [r1]\n add r0, r8\n cmp r0, r9\n"
            "bhs 3f\n"
            "ldrsb r4, [r0, r2]\n lsls r3, r4, #16\n adds r3, r3, r5\n str r3, [r1, r6]\n add r0, r8\n add r1, r10\n"
            "cmp r0, r9\n blo 2b\n b 4f\n"
            "3: mov r4, r5\n adds r1, r1, r6\n"
            "4: lsls r3, r7, #16\n adds r3, r3, r4\n str r3, [r1]\n"
            "ldr r0, [sp]\n add r0, r11\n str r0, [sp]\n ldr r1, [sp, #4]\n add r1, r12\n str r1, [sp, #4]\n"
            "add r9, r11\n cmp r9, lr\n bls 1b\n"
            "add sp, #8\n pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n");
}
/* clang-format on */

#endif
