/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution of 3x3, one channel of four columns of the output that lie side by side, from top to bottom.
   The nine weights stay in registers; of a row, six taps are loaded, which go into the sums of the three rows of
   outputs that read them. A sum begins with its first product: that which is -0 and not 0 if all are is made up for by
   a bias that is not -0. */
#ifndef KB_DEPTHWISE_CONV2D_3X3_F32_H
#define KB_DEPTHWISE_CONV2D_3X3_F32_H

#include "kb_inline.h"
#include <stddef.h>

/* Steps are in bytes. */
typedef struct {
    const float *w, *bias;
    int32_t step, row_step; /* to the next column of the map, and tap of the weights; to the next row */
    int32_t above;          /* whether there is a row above that of the first output */
    int32_t passes; /* 4 * (rows that are the last one of an output - 1) + 2 * (an output ends beside the map) + ReLU */
    const float *x, *left, *right; /* the four columns, and those beside them */
    int32_t left_step, right_step; /* row_step; of zeros, none */
    float *out;
} kb_four_columns;

/* clang-format off */
/* s0 to s8 are weights, s9 to s14 the taps of a row, s15 the bias. Of each column the output being completed is in s16 to
   s19, the next one in s20 to s23, the one after in s24 to s27; s28 to s30 are products. */
#define LOAD_TAPS                                                                                                      \
    "ldr.w %[a], [%[left]]\n ldr.w %[b], [%[x]]\n add.w %[left], %[left], %[left_step]\n vmov s9, s10, %[a], %[b]\n"   \
    "ldr.w %[a], [%[x], %[step]]\n ldr.w %[b], [%[x], %[step], lsl #1]\n vmov s11, s12, %[a], %[b]\n"                  \
    "ldr.w %[a], [%[x], %[step3]]\n ldr.w %[b], [%[right]]\n add.w %[x], %[x], %[row_step]\n"                          \
    "add.w %[right], %[right], %[right_step]\n vmov s13, s14, %[a], %[b]\n"
/* Tap s[x] of the third, second and first row of the kernel: the first of three, or another one. */
#define FIRST3(done, next, after, x)                                                                                   \
    "vmul.f32 s28, s" #x ", s6\n vmul.f32 s29, s" #x ", s3\n vadd.f32 s" #done ", s" #next ", s28\n"                   \
    "vadd.f32 s" #next ", s" #after ", s29\n vmul.f32 s" #after ", s" #x ", s0\n"
#define OTHER3(done, next, after, x, w0, w1, w2)                                                                       \
    "vmul.f32 s28, s" #x ", s" #w2 "\n vmul.f32 s29, s" #x ", s" #w1 "\n vmul.f32 s30, s" #x ", s" #w0 "\n"            \
    "vadd.f32 s" #done ", s" #done ", s28\n vadd.f32 s" #next ", s" #next ", s29\n"                                    \
    "vadd.f32 s" #after ", s" #after ", s30\n"
#define COLUMN3(done, next, after, x0, x1, x2)                                                                         \
    FIRST3(done, next, after, x0) OTHER3(done, next, after, x1, 1, 4, 7) OTHER3(done, next, after, x2, 2, 5, 8)
/* Of the second and first row. */
#define FIRST2(next, after, x)                                                                                         \
    "vmul.f32 s29, s" #x ", s3\n vadd.f32 s" #next ", s" #after ", s29\n vmul.f32 s" #after ", s" #x ", s0\n"
#define OTHER2(next, after, x, w0, w1)                                                                                 \
    "vmul.f32 s29, s" #x ", s" #w1 "\n vmul.f32 s30, s" #x ", s" #w0 "\n"                                              \
    "vadd.f32 s" #next ", s" #next ", s29\n vadd.f32 s" #after ", s" #after ", s30\n"
#define COLUMN2(next, after, x0, x1, x2)                                                                               \
    FIRST2(next, after, x0) OTHER2(next, after, x1, 1, 4) OTHER2(next, after, x2, 2, 5)
/* Of the first row. */
#define COLUMN1(after, x0, x1, x2)                                                                                     \
    "vmul.f32 s" #after ", s" #x0 ", s0\n vmul.f32 s29, s" #x1 ", s1\n vmul.f32 s30, s" #x2 ", s2\n"                   \
    "vadd.f32 s" #after ", s" #after ", s29\n vadd.f32 s" #after ", s" #after ", s30\n"
#define STORE2(RELU, first, second, at_first, at_second)                                                               \
    "vmov %[a], %[b], s" #first ", s" #second "\n" RELU("%[a]") RELU("%[b]")                                           \
    "str.w %[a], [%[out]" at_first "]\n str.w %[b], [%[out], " at_second "]\n"
#define STORE4(RELU)                                                                                                   \
    STORE2(RELU, 16, 17, "", "%[step]") STORE2(RELU, 18, 19, ", %[step], lsl #1", "%[step3]")                          \
    "add.w %[out], %[out], %[row_step]\n subs.w %[n], %[n], #4\n bge.w 2b\n"
#define CLEAR(x) "bic.w " x ", " x ", " x ", asr #31\n"
#define KEEP(x) ""
#define WEIGHT(i) "vldmia %[b], {s" #i "}\n add.w %[b], %[b], %[step]\n"
#define AT(member) [of_##member] "i"(offsetof(kb_four_columns, member))

KB_INLINE void kb_make_four_columns(const kb_four_columns *t)
{
    const float *x = t->x, *left = t->left, *right = t->right;
    int32_t n = t->passes, b;
    const kb_four_columns *a = t;
    float *out = t->out;
    __asm__ volatile("ldr.w %[b], [%[a], %[of_bias]]\n"
                     "vldmia %[b], {s15}\n"
                     "ldr.w %[b], [%[a], %[of_w]]\n"
                     WEIGHT(0) WEIGHT(1) WEIGHT(2) WEIGHT(3) WEIGHT(4) WEIGHT(5) WEIGHT(6) WEIGHT(7) WEIGHT(8)
                     "ldr.w %[b], [%[a], %[of_above]]\n"
                     "mov.w %[a], #0\n"
                     "vmov s24, s25, %[a], %[a]\n vmov s26, s27, %[a], %[a]\n"
                     "cmp.w %[b], #0\n"
                     "beq.w 1f\n"
                     LOAD_TAPS
                     COLUMN1(24, 9, 10, 11) COLUMN1(25, 10, 11, 12) COLUMN1(26, 11, 12, 13) COLUMN1(27, 12, 13, 14)
                     "1:\n" LOAD_TAPS
                     COLUMN2(20, 24, 9, 10, 11) COLUMN2(21, 25, 10, 11, 12)
                     COLUMN2(22, 26, 11, 12, 13) COLUMN2(23, 27, 12, 13, 14)
                     "cmp.w %[n], #0\n"
                     "blt.w 4f\n"
                     ".p2align 2\n"
                     "2:\n" LOAD_TAPS
                     COLUMN3(16, 20, 24, 9, 10, 11) COLUMN3(17, 21, 25, 10, 11, 12)
                     COLUMN3(18, 22, 26, 11, 12, 13) COLUMN3(19, 23, 27, 12, 13, 14)
                     "3:\n"
                     "vadd.f32 s16, s16, s15\n vadd.f32 s17, s17, s15\n vadd.f32 s18, s18, s15\n vadd.f32 s19, s19, s15\n"
                     "tst.w %[n], #1\n"
                     "beq.w 5f\n"
                     STORE4(CLEAR)
                     "4:\n"
                     "tst.w %[n], #2\n"
                     "beq.w 6f\n"
                     "sub.w %[n], %[n], #2\n"
                     "vmov s16, s20\n vmov s17, s21\n vmov s18, s22\n vmov s19, s23\n"
                     "b.w 3b\n"
                     ".p2align 2\n"
                     "5:\n"
                     STORE4(KEEP)
                     "b.w 4b\n"
                     "6:\n"
                     : [x] "+r"(x), [left] "+r"(left), [right] "+r"(right), [n] "+r"(n), [out] "+r"(out), [a] "+r"(a),
                       [b] "=&r"(b)
                     : [left_step] "r"(t->left_step), [right_step] "r"(t->right_step), [row_step] "r"(t->row_step),
                       [step] "r"(t->step), [step3] "r"(3 * t->step), AT(w), AT(bias), AT(above)
                     : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12",
                       "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26",
                       "s27", "s28", "s29", "s30");
}
/* clang-format on */
#undef AT

#endif
