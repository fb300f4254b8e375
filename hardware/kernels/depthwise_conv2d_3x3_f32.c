/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolution of 3x3, stride 1 and padding 1 on all sides, over an even number of channels. Four columns of
   the output are made as in depthwise_conv2d_3x3_f32.h; of what is left, two channels of a column at a time in the same
   way: eighteen weights stay in registers, and a row of three taps goes into the sums of the three outputs that read
   it. The order of each sum is as in depthwise_conv2d_f32.c; taps beside the map read zeros, which change none. */
#include "kb_inline.h"

#if defined(__thumb2__) && defined(__ARM_FP)
#include "depthwise_conv2d_3x3_f32.h"

/* What a column of the output reads, for two channels, and what becomes of it; steps are in bytes. */
typedef struct {
    const float *w, *bias;
    int32_t tap_step; /* from the weights of a tap to those of the next one */
    int32_t above; /* whether there is a row above that of the first output */
    int32_t relu;
    const float *x[3]; /* the three columns of taps */
    int32_t step[3]; /* of each, from row to row; of zeros, none */
    float *out;
    /* Twice how many rows are the last one of an output, plus 1 if there is an output that ends beside the map,
     * minus 2. */
    int32_t passes;
} column;

/* clang-format off */
/* s0 to s17 are weights, tap by tap; s18 and s19 the output being completed, s20 and s21 the next one, s22 and s23 the one
   after; s24 and s25 the tap, s26 and s27 products, s29 and s30 the bias.
   TAP: products with weights s[w] and s[w + 1], added to s[b] and s[b + 1], are the sums in s[a] and s[a + 1]. BEGIN: the
   first products of s22 and s23. */
#define TAP(a0, a1, b0, b1, w0, w1)                                                                                    \
    "vmul.f32 s26, s24, s" #w0 "\n vmul.f32 s27, s25, s" #w1 "\n"                                                      \
    "vadd.f32 s" #a0 ", s" #b0 ", s26\n vadd.f32 s" #a1 ", s" #b1 ", s27\n"
#define BEGIN "vmul.f32 s22, s24, s0\n vmul.f32 s23, s25, s1\n"
#define LOAD(i) "vldmia %[x" #i "], {s24-s25}\n add.w %[x" #i "], %[x" #i "], %[step" #i "]\n"
/* A row as the first one of an output; as the middle one of another besides; as the last one of a third. */
#define FIRST                                                                                                          \
    LOAD(0) BEGIN                                                                                  \
    LOAD(1) TAP(22, 23, 22, 23, 2, 3)                                                                                  \
    LOAD(2) TAP(22, 23, 22, 23, 4, 5)
#define MIDDLE                                                                                                         \
    LOAD(0) TAP(20, 21, 22, 23, 6, 7) BEGIN                                                        \
    LOAD(1) TAP(20, 21, 20, 21, 8, 9) TAP(22, 23, 22, 23, 2, 3)                                                        \
    LOAD(2) TAP(20, 21, 20, 21, 10, 11) TAP(22, 23, 22, 23, 4, 5)
#define LAST                                                                                                           \
    LOAD(0) TAP(18, 19, 20, 21, 12, 13) TAP(20, 21, 22, 23, 6, 7) BEGIN                            \
    LOAD(1) TAP(18, 19, 18, 19, 14, 15) TAP(20, 21, 20, 21, 8, 9) TAP(22, 23, 22, 23, 2, 3)                            \
    LOAD(2) TAP(18, 19, 18, 19, 16, 17) TAP(20, 21, 20, 21, 10, 11) TAP(22, 23, 22, 23, 4, 5)
#define WEIGHTS(w0, w1) "vldmia %[b], {s" #w0 "-s" #w1 "}\n add.w %[b], %[b], %[relu]\n"
#define AT(member) [of_##member] "i"(offsetof(column, member))

KB_INLINE void make(const column *t)
{
    const float *x0 = t->x[0], *x1 = t->x[1], *x2 = t->x[2];
    int32_t passes = t->passes, relu, b;
    const column *a = t;
    float *out = t->out;
    __asm__ volatile("ldr.w %[b], [%[a], %[of_bias]]\n"
                     "vldmia %[b], {s29-s30}\n"
                     "ldr.w %[b], [%[a], %[of_w]]\n"
                     "ldr.w %[relu], [%[a], %[of_tap_step]]\n"
                     WEIGHTS(0, 1) WEIGHTS(2, 3) WEIGHTS(4, 5) WEIGHTS(6, 7) WEIGHTS(8, 9)
                     WEIGHTS(10, 11) WEIGHTS(12, 13) WEIGHTS(14, 15) WEIGHTS(16, 17)
                     "ldr.w %[b], [%[a], %[of_above]]\n"
                     "ldr.w %[relu], [%[a], %[of_relu]]\n"
                     "mov.w %[a], #0\n"
                     "vmov s22, s23, %[a], %[a]\n"
                     "cmp %[b], #0\n"
                     "beq 1f\n"
                     FIRST
                     "1:\n" MIDDLE
                     "cmp.w %[passes], #0\n"
                     "blt 4f\n"
                     ".p2align 2\n"
                     "2:\n" LAST
                     "3:\n"
                     "vadd.f32 s18, s18, s29\n vadd.f32 s19, s19, s30\n"
                     "cmp.w %[relu], #0\n"
                     "beq.w 5f\n"
                     "vmov %[a], s18\n vmov %[b], s19\n"
                     "bic.w %[a], %[a], %[a], asr #31\n bic.w %[b], %[b], %[b], asr #31\n"
                     "str.w %[a], [%[out]]\n str.w %[b], [%[out], #4]\n"
                     "add.w %[out], %[out], %[step1]\n"
                     "subs.w %[passes], %[passes], #2\n"
                     "bge.w 2b\n"
                     "4:\n"
                     "adds %[passes], %[passes], #1\n"
                     "blt 6f\n"
                     "vmov s18, s20\n vmov s19, s21\n"
                     "b 3b\n"
                     ".p2align 2\n"
                     "5:\n"
                     "vstmia %[out], {s18-s19}\n"
                     "add.w %[out], %[out], %[step1]\n"
                     "subs.w %[passes], %[passes], #2\n"
                     "bge.w 2b\n"
                     "b.w 4b\n"
                     "6:\n"
                     : [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [passes] "+r"(passes), [out] "+r"(out),
                       [relu] "=&r"(relu), [a] "+r"(a), [b] "=&r"(b)
                     : [step0] "r"(t->step[0]), [step1] "r"(t->step[1]), [step2] "r"(t->step[2]), AT(w), AT(bias),
                       AT(tap_step), AT(above), AT(relu)
                     : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12",
                       "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26",
                       "s27", "s29", "s30");
}
/* clang-format on */

/* Four columns from x on, all channels. */
KB_APART void four_columns(const float *in, float *out, const kb_depthwise_conv2d_f32_params *p, const kb_region *r,
                           int32_t x)
{
    const kb_shape *shape = &p->window.in;
    const int32_t channels = shape->channels, line = shape->width * channels, ends = r->y_end == shape->height;
    const int32_t from_left = x > 0, from_right = x + 4 < shape->width;
    const float zero = 0.0f;
    kb_four_columns t = {.w = p->weight, .bias = p->bias, .step = 4 * channels, .row_step = 4 * line};
    t.above = r->y > 0;
    t.passes = 4 * (r->y_end - r->y - ends - 1) + 2 * ends + p->relu;
    t.x = in + kb_max(r->y - 1, 0) * line + x * channels;
    t.left = from_left ? t.x - channels : &zero;
    t.right = from_right ? t.x + 4 * channels : &zero;
    t.left_step = from_left * 4 * line;
    t.right_step = from_right * 4 * line;
    t.out = out + r->y * line + x * channels;
    for (int32_t c = channels; c > 0; c--) {
        kb_make_four_columns(&t);
        t.w++, t.bias++, t.x++, t.out++;
        t.left += from_left;
        t.right += from_right;
    }
}

/* One column, all channels. */
KB_APART void one_column(const float *in, float *out, const kb_depthwise_conv2d_f32_params *p, const kb_region *r,
                         int32_t x)
{
    const kb_shape *shape = &p->window.in;
    const int32_t channels = shape->channels, line = shape->width * channels, ends = r->y_end == shape->height;
    const float zeros[2] = {0.0f, 0.0f};
    int32_t next[3];
    column t = {.w = p->weight, .bias = p->bias, .tap_step = 4 * channels, .above = r->y > 0, .relu = p->relu};
    t.passes = 2 * (r->y_end - r->y) - ends - 2;
    t.out = out + r->y * line + x * channels;
    for (int32_t i = 0; i < 3; i++) {
        const int inside = x - 1 + i >= 0 && x - 1 + i < shape->width;
        t.x[i] = inside ? in + kb_max(r->y - 1, 0) * line + (x - 1 + i) * channels : zeros;
        t.step[i] = inside ? 4 * line : 0;
        next[i] = inside ? 2 : 0;
    }
    for (int32_t c = 0; c < channels; c += 2) {
        make(&t);
        t.w += 2;
        t.bias += 2;
        t.out += 2;
        for (int32_t i = 0; i < 3; i++)
            t.x[i] += next[i];
    }
}

KB_KERNEL void kb_depthwise_conv2d_3x3_f32(const float *in, float *out, void *scratch,
                                           const kb_depthwise_conv2d_f32_params *p, const kb_region *r)
{
    int32_t x = r->x;
    (void)scratch;
    for (; x + 4 <= r->x_end; x += 4)
        four_columns(in, out, p, r, x);
    for (; x < r->x_end; x++)
        one_column(in, out, p, r, x);
}
#else
void kb_depthwise_conv2d_3x3_f32(const float *in, float *out, void *scratch, const kb_depthwise_conv2d_f32_params *p,
                                 const kb_region *r)
{
    kb_depthwise_conv2d_f32(in, out, scratch, p, r);
}
#endif
