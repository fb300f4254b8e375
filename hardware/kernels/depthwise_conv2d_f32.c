/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_tiles.h"

#if defined(__thumb2__) && defined(__ARM_FP)
/* clang-format off */
/* MUL4: s[a] to s[a + 3] are multiplied by the weights in s16 to s19. */
#define MUL4(a0, a1, a2, a3)                                                                                           \
    "vmul.f32 s" #a0 ", s" #a0 ", s16\n vmul.f32 s" #a1 ", s" #a1 ", s17\n"                                            \
    "vmul.f32 s" #a2 ", s" #a2 ", s18\n vmul.f32 s" #a3 ", s" #a3 ", s19\n"

/* Four channels of KB_TILE pixels. */
KB_INLINE void make_four(const kb_tile *t)
{
    const float *x = t->x, *x1 = x + t->pitch, *x2 = x1 + t->pitch, *x3 = x2 + t->pitch, *w = t->w;
    int32_t rows = t->rows, n;
    __asm__ volatile(KB_CLEAR_FOUR
                     "1:\n"
                     "ldr.w %[n], [%[t], %[columns]]\n"
                     ".p2align 2\n"
                     "2:\n"
                     "vldmia %[w], {s16-s19}\n vldmia %[x], {s20-s23}\n vldmia %[x1], {s24-s27}\n"
                     "add.w %[w], %[w], %[step]\n add.w %[x], %[x], %[step]\n add.w %[x1], %[x1], %[step]\n"
                     MUL4(20, 21, 22, 23) "vldmia %[x2], {s28-s31}\n" KB_ADD4(0, 1, 2, 3, 20, 21, 22, 23)
                     MUL4(24, 25, 26, 27) "vldmia %[x3], {s20-s23}\n" KB_ADD4(4, 5, 6, 7, 24, 25, 26, 27)
                     "add.w %[x2], %[x2], %[step]\n add.w %[x3], %[x3], %[step]\n"
                     MUL4(28, 29, 30, 31) KB_ADD4(8, 9, 10, 11, 28, 29, 30, 31)
                     MUL4(20, 21, 22, 23) KB_ADD4(12, 13, 14, 15, 20, 21, 22, 23)
                     "subs.w %[n], %[n], #1\n"
                     "bne.w 2b\n"
                     "ldr.w %[n], [%[t], %[next_x]]\n"
                     "add.w %[x], %[x], %[n], lsl #2\n add.w %[x1], %[x1], %[n], lsl #2\n"
                     "add.w %[x2], %[x2], %[n], lsl #2\n add.w %[x3], %[x3], %[n], lsl #2\n"
                     "ldr.w %[n], [%[t], %[next_w]]\n"
                     "add.w %[w], %[w], %[n], lsl #2\n"
                     "subs.w %[rows], %[rows], #1\n"
                     "bne.w 1b\n"
                     ".p2align 2\n"
                     KB_END_FOUR : KB_REGISTERS : KB_MEMBERS, [step] "r"(4 * t->channels) : KB_CLOBBERED);
}

/* The same of one pixel. */
KB_INLINE void make_one(const kb_tile *t)
{
    const float *x = t->x, *x1 = x, *x2 = x, *x3 = x, *w = t->w;
    int32_t rows = t->rows, n;
    __asm__ volatile(KB_CLEAR_ONE
                     "ldr.w %[x1], [%[t], %[columns]]\n"
                     "ldr.w %[x2], [%[t], %[next_x]]\n"
                     "ldr.w %[x3], [%[t], %[next_w]]\n"
                     "1:\n"
                     "mov.w %[n], %[x1]\n"
                     ".p2align 2\n"
                     "2:\n"
                     "vldmia %[w], {s16-s19}\n vldmia %[x], {s20-s23}\n"
                     "add.w %[w], %[w], %[step]\n add.w %[x], %[x], %[step]\n"
                     MUL4(20, 21, 22, 23) KB_ADD4(0, 1, 2, 3, 20, 21, 22, 23)
                     "subs.w %[n], %[n], #1\n"
                     "bne.w 2b\n"
                     "add.w %[x], %[x], %[x2], lsl #2\n"
                     "add.w %[w], %[w], %[x3], lsl #2\n"
                     "subs.w %[rows], %[rows], #1\n"
                     "bne.w 1b\n"
                     ".p2align 2\n"
                     KB_END_ONE : KB_REGISTERS : KB_MEMBERS, [step] "r"(4 * t->channels) : KB_CLOBBERED);
}
/* clang-format on */
#endif

/* The outputs of `count` channels of `pixels` pixels. */
KB_INLINE void make(const kb_tile *t, int32_t pixels, int32_t count)
{
    const float *x = t->x, *w = t->w;
    float acc[4 * KB_TILE], *out = t->out;
    for (int32_t i = 0; i < count * pixels; i++)
        acc[i] = 0.0f;
    KB_NO_UNROLL
    for (int32_t ky = t->rows; ky > 0; ky--, x += t->next_x, w += t->next_w)
        KB_NO_UNROLL
    for (int32_t kx = t->columns; kx > 0; kx--, x += t->channels, w += t->channels)
        for (int32_t k = 0; k < pixels; k++)
            for (int32_t j = 0; j < count; j++)
                acc[count * k + j] += x[k * t->pitch + j] * w[j];
    for (int32_t k = 0; k < pixels; k++, out += t->out_pitch)
        for (int32_t j = 0; j < count; j++)
            out[j] = kb_masked_relu(acc[count * k + j] + t->bias[j], kb_relu_mask(t->relu));
}

KB_INLINE void block(kb_tile *t, int32_t pixels, int32_t count)
{
#if defined(__thumb2__) && defined(__ARM_FP)
    if (count == 4 && pixels == 1)
        make_one(t);
    else if (count == 4)
        make_four(t);
    else
#endif
        make(t, pixels, count);
    t->x += count;
    t->w += count;
    t->bias += count;
    t->out += count;
}

/* All channels, four at a time and the rest one at a time. */
KB_INLINE void blocks(kb_tile *t, const kb_depthwise_conv2d_f32_params *p, int32_t pixels)
{
    t->bias = p->bias;
    t->relu = p->relu;
    for (int32_t left = t->channels; left > 0; left -= left < 4 ? 1 : 4)
        if (left < 4)
            block(t, pixels, 1);
        else
            block(t, pixels, 4);
}

KB_APART void four(kb_tile *t, const void *p)
{
    blocks(t, p, KB_TILE);
}

KB_APART void one(kb_tile *t, const void *p)
{
    blocks(t, p, 1);
}

KB_KERNEL void kb_depthwise_conv2d_f32(const float *in, float *out, void *scratch,
                                       const kb_depthwise_conv2d_f32_params *p, const kb_region *r)
{
    (void)scratch;
    kb_for_tiles(in, out, p->weight, &p->window, r, p->window.in.channels, four, one, p);
}
