/* SPDX-License-Identifier: Apache-2.0 */
/* Float convolution whose kernel is the whole map, as in a linear layer of many weights, of which each is read once:
   sixteen outputs share the loads of three inputs. Weights, biases and the order of every sum are those of
   conv2d_f32.c, which makes the outputs that are left over. */
#include "kb_inline.h"

#if defined(__thumb2__) && defined(__ARM_FP)
#include <stddef.h>

/* Output channels in a block, whose weights lie side by side; outputs that are made together. */
#define BLOCK 4
#define TOGETHER 16

/* What TOGETHER outputs are made of. */
typedef struct {
    const float *x, *w, *bias;
    float *out;
    int32_t taps, threes, entry,
        rest; /* all; threes of them, and those in the first turn if it is a short one; what is left */
    int32_t relu;
} group;

/* clang-format off */
/* s0 to s15 are sums; s16 to s27 the weights of three taps and a block, which become products; s28 to s30 the taps. The last
   product of a block is in s31: it is added after the next weights are loaded, which are used one instruction later. */
#define MUL4(p0, p1, p2, p3, w0, w1, w2, w3, x)                                                                        \
    "vmul.f32 s" #p0 ", s" #w0 ", s" #x "\n vmul.f32 s" #p1 ", s" #w1 ", s" #x "\n"                                    \
    "vmul.f32 s" #p2 ", s" #w2 ", s" #x "\n vmul.f32 s" #p3 ", s" #w3 ", s" #x "\n"
#define ADD1(a, product) "vadd.f32 s" #a ", s" #a ", s" #product "\n"
#define BLOCK3(w, before, a0, a1, a2, a3)                                                                              \
    "vldmia %[" #w "]!, {s16-s27}\n" ADD1(before, 31)                                                                  \
    MUL4(16, 17, 18, 19, 16, 17, 18, 19, 28) ADD1(a0, 16) ADD1(a1, 17) ADD1(a2, 18) ADD1(a3, 19)                       \
    MUL4(20, 21, 22, 23, 20, 21, 22, 23, 29) ADD1(a0, 20) ADD1(a1, 21) ADD1(a2, 22) ADD1(a3, 23)                       \
    MUL4(24, 25, 26, 31, 24, 25, 26, 27, 30) ADD1(a0, 24) ADD1(a1, 25) ADD1(a2, 26)
#define TAPS3                                                                                                          \
    "vldmia %[x]!, {s28-s30}\n" BLOCK3(w0, 15, 0, 1, 2, 3) BLOCK3(w1, 3, 4, 5, 6, 7) BLOCK3(w2, 7, 8, 9, 10, 11)       \
    BLOCK3(w3, 11, 12, 13, 14, 15)
#define BLOCK1(w, before, a0, a1, a2, a3)                                                                              \
    "vldmia %[" #w "]!, {s16-s19}\n" ADD1(before, 31)                                                                  \
    MUL4(16, 17, 18, 31, 16, 17, 18, 19, 28) ADD1(a0, 16) ADD1(a1, 17) ADD1(a2, 18)
#define TAP1                                                                                                           \
    "vldmia %[x]!, {s28}\n" BLOCK1(w0, 15, 0, 1, 2, 3) BLOCK1(w1, 3, 4, 5, 6, 7) BLOCK1(w2, 7, 8, 9, 10, 11)           \
    BLOCK1(w3, 11, 12, 13, 14, 15)
#define CLEAR4(a0, a1, a2, a3)                                                                                         \
    "vmov s" #a0 ", s" #a1 ", %[x], %[x]\n vmov s" #a2 ", s" #a3 ", %[x], %[x]\n"
#define ADD4(a0, a1, a2, a3, b0, b1, b2, b3) ADD1(a0, b0) ADD1(a1, b1) ADD1(a2, b2) ADD1(a3, b3)
#define RELU2(a0, a1)                                                                                                  \
    "vmov %[w0], %[w1], s" #a0 ", s" #a1 "\n"                                                                          \
    "bic.w %[w0], %[w0], %[w0], asr #31\n bic.w %[w1], %[w1], %[w1], asr #31\n"                                       \
    "vmov s" #a0 ", s" #a1 ", %[w0], %[w1]\n"

#define AT(member) [of_##member] "i"(offsetof(group, member))

KB_INLINE void make(const group *t)
{
    int32_t x, w0, w1, w2, w3, n, rest;
    __asm__ volatile("mov.w %[x], #0\n"
                     CLEAR4(0, 1, 2, 3) CLEAR4(4, 5, 6, 7) CLEAR4(8, 9, 10, 11) CLEAR4(12, 13, 14, 15)
                     "vmov s31, %[x]\n"
                     "ldr.w %[w3], [%[t], %[of_taps]]\n ldr.w %[w0], [%[t], %[of_w]]\n"
                     "ldr.w %[rest], [%[t], %[of_entry]]\n ldr.w %[n], [%[t], %[of_threes]]\n"
                     "ldr.w %[x], [%[t], %[of_x]]\n"
                     "add.w %[w1], %[w0], %[w3], lsl #4\n add.w %[w2], %[w1], %[w3], lsl #4\n"
                     "add.w %[w3], %[w2], %[w3], lsl #4\n"
                     "cmp.w %[rest], #1\n"
                     "beq.w 11f\n"
                     "bgt.w 12f\n"
                     "cmp.w %[n], #0\n"
                     "beq.w 2f\n"
                     ".p2align 2\n"
                     "1:\n" TAPS3
                     "12:\n" TAPS3
                     "11:\n" TAPS3
                     "subs.w %[n], %[n], #3\n"
                     "bgt.w 1b\n"
                     "2:\n"
                     "ldr.w %[n], [%[t], %[of_rest]]\n"
                     "cmp.w %[n], #0\n"
                     "beq.w 4f\n"
                     "3:\n" TAP1
                     "subs.w %[n], %[n], #1\n"
                     "bne.w 3b\n"
                     "4:\n"
                     ADD1(15, 31)
                     "ldr.w %[n], [%[t], %[of_bias]]\n ldr.w %[x], [%[t], %[of_out]]\n"
                     "ldr.w %[w0], [%[t], %[of_relu]]\n"
                     "vldmia %[n], {s16-s31}\n"
                     ADD4(0, 1, 2, 3, 16, 17, 18, 19) ADD4(4, 5, 6, 7, 20, 21, 22, 23)
                     ADD4(8, 9, 10, 11, 24, 25, 26, 27) ADD4(12, 13, 14, 15, 28, 29, 30, 31)
                     "cmp.w %[w0], #0\n"
                     "beq.w 5f\n"
                     RELU2(0, 1) RELU2(2, 3) RELU2(4, 5) RELU2(6, 7) RELU2(8, 9) RELU2(10, 11) RELU2(12, 13) RELU2(14, 15)
                     "5:\n"
                     "vstmia %[x], {s0-s15}\n"
                     : [x] "=&r"(x), [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2), [w3] "=&r"(w3), [n] "=&r"(n),
                       [rest] "=&r"(rest)
                     : [t] "r"(t), AT(x), AT(w), AT(bias), AT(out), AT(taps), AT(threes), AT(entry), AT(rest), AT(relu)
                     : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12",
                       "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26",
                       "s27", "s28", "s29", "s30", "s31");
}
/* clang-format on */

KB_KERNEL void kb_dense_conv2d_f32(const float *in, float *out, void *scratch, const kb_conv2d_f32_params *p,
                                   const kb_region *r)
{
    const int32_t channels = p->window.out.channels;
    const int32_t taps = p->window.in.height * p->window.in.width * p->window.in.channels;
    group t = {in, p->weight, p->bias, out, taps, taps / 3, taps / 3 % 3, taps % 3, p->relu};
    int32_t o = 0;
    for (; o + TOGETHER <= channels; o += TOGETHER) {
        make(&t);
        t.w += TOGETHER * taps;
        t.bias += TOGETHER;
        t.out += TOGETHER;
    }
    if (o < channels) {
        kb_conv2d_f32_params rest = *p;
        rest.weight += o * taps;
        rest.bias += o;
        rest.window.out.channels -= o;
        kb_conv2d_f32(in, out + o, scratch, &rest, r);
    }
}
#else
void kb_dense_conv2d_f32(const float *in, float *out, void *scratch, const kb_conv2d_f32_params *p, const kb_region *r)
{
    kb_conv2d_f32(in, out, scratch, p, r);
}
#endif
