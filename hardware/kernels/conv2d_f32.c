/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_tiles.h"

/* Output channels in a block. */
#define BLOCK 4

#if defined(__thumb2__) && defined(__ARM_FP)
/* Compilers neither load several registers at once here nor keep all sums in registers.
   MAC4: products of weights s[w] to s[w + 3] with s[x] are added to s[a] to s[a + 3]. */
#define MAC4(a0, a1, a2, a3, w0, w1, w2, w3, x)                                                                        \
    "vmul.f32 s28, s" #w0 ", s" #x "\n vmul.f32 s29, s" #w1 ", s" #x "\n"                                              \
    "vmul.f32 s30, s" #w2 ", s" #x "\n vmul.f32 s31, s" #w3 ", s" #x "\n" KB_ADD4(a0, a1, a2, a3, 28, 29, 30, 31)
#define TWO_TAPS                                                                                                       \
    "vldmia %[x]!, {s24-s25}\n vldmia %[w]!, {s16-s23}\n vldmia %[x1]!, {s26-s27}\n" MAC4(0, 1, 2, 3, 16, 17, 18, 19,  \
                                                                                          24)                          \
        MAC4(0, 1, 2, 3, 20, 21, 22, 23, 25) "vldmia %[x2]!, {s24-s25}\n" MAC4(4, 5, 6, 7, 16, 17, 18, 19, 26)         \
            MAC4(4, 5, 6, 7, 20, 21, 22, 23, 27) "vldmia %[x3]!, {s26-s27}\n" MAC4(8, 9, 10, 11, 16, 17, 18, 19, 24)   \
                MAC4(8, 9, 10, 11, 20, 21, 22, 23, 25) MAC4(12, 13, 14, 15, 16, 17, 18, 19, 26)                        \
                    MAC4(12, 13, 14, 15, 20, 21, 22, 23, 27)

/* clang-format off */
/* The outputs of KB_TILE pixels for BLOCK channels. */
KB_INLINE void make_four(const kb_tile *t)
{
    const float *x = t->x, *x1 = x + t->pitch, *x2 = x1 + t->pitch, *x3 = x2 + t->pitch, *w = t->w;
    int32_t rows = t->rows, n;
    __asm__ volatile(KB_CLEAR_FOUR
                     "1:\n"
                     "subs %[rows], %[rows], #1\n"
                     "blt 6f\n"
                     "ldr.w %[n], [%[t], %[taps]]\n"
                     "subs.w %[n], %[n], #2\n"
                     "blt 3f\n"
                     ".p2align 2\n"
                     "2:\n" TWO_TAPS
                     "subs.w %[n], %[n], #2\n"
                     "bge.w 2b\n"
                     "3:\n"
                     "adds.w %[n], %[n], #2\n"
                     "beq.w 5f\n"
                     "vldmia %[x]!, {s24}\n vldmia %[x1]!, {s25}\n vldmia %[w]!, {s16-s19}\n"
                     "vldmia %[x2]!, {s26}\n vldmia %[x3]!, {s27}\n"
                     MAC4(0, 1, 2, 3, 16, 17, 18, 19, 24) MAC4(4, 5, 6, 7, 16, 17, 18, 19, 25)
                     MAC4(8, 9, 10, 11, 16, 17, 18, 19, 26) MAC4(12, 13, 14, 15, 16, 17, 18, 19, 27)
                     "5:\n"
                     "ldr.w %[n], [%[t], %[next_x]]\n"
                     "add.w %[x], %[x], %[n], lsl #2\n add.w %[x1], %[x1], %[n], lsl #2\n"
                     "add.w %[x2], %[x2], %[n], lsl #2\n add.w %[x3], %[x3], %[n], lsl #2\n"
                     "ldr.w %[n], [%[t], %[next_w]]\n"
                     "add.w %[w], %[w], %[n], lsl #2\n"
                     "b.w 1b\n"
                     ".p2align 2\n"
                     "6:\n" KB_END_FOUR : KB_REGISTERS : KB_MEMBERS : KB_CLOBBERED);
}

/* The same for one pixel. */
KB_INLINE void make_one(const kb_tile *t)
{
    const float *x = t->x, *x1 = x, *x2 = x, *x3 = x, *w = t->w;
    int32_t rows = t->rows, n;
    __asm__ volatile(KB_CLEAR_ONE
                     "1:\n"
                     "subs %[rows], %[rows], #1\n"
                     "blt 6f\n"
                     "ldr.w %[n], [%[t], %[taps]]\n"
                     "subs.w %[n], %[n], #4\n"
                     "blt 3f\n"
                     ".p2align 2\n"
                     "2:\n"
                     "vldmia %[x]!, {s24-s27}\n"
                     "vldmia %[w]!, {s8-s23}\n"
                     MAC4(0, 1, 2, 3, 8, 9, 10, 11, 24) MAC4(0, 1, 2, 3, 12, 13, 14, 15, 25)
                     MAC4(0, 1, 2, 3, 16, 17, 18, 19, 26) MAC4(0, 1, 2, 3, 20, 21, 22, 23, 27)
                     "subs.w %[n], %[n], #4\n"
                     "bge.w 2b\n"
                     "3:\n"
                     "adds.w %[n], %[n], #4\n"
                     "beq.w 5f\n"
                     ".p2align 2\n"
                     "4:\n"
                     "vldmia %[x]!, {s24}\n"
                     "vldmia %[w]!, {s8-s11}\n"
                     MAC4(0, 1, 2, 3, 8, 9, 10, 11, 24)
                     "subs.w %[n], %[n], #1\n"
                     "bne.w 4b\n"
                     "5:\n"
                     "ldr.w %[n], [%[t], %[next_x]]\n"
                     "ldr.w %[x1], [%[t], %[next_w]]\n"
                     "add.w %[x], %[x], %[n], lsl #2\n"
                     "add.w %[w], %[w], %[x1], lsl #2\n"
                     "b.w 1b\n"
                     ".p2align 2\n"
                     "6:\n" KB_END_ONE : KB_REGISTERS : KB_MEMBERS : KB_CLOBBERED);
}
/* clang-format on */
#else
KB_INLINE void make(const kb_tile *t, int32_t pixels)
{
    const float *x = t->x, *w = t->w;
    float acc[BLOCK * KB_TILE], *out = t->out;
    for (int32_t i = 0; i < BLOCK * pixels; i++)
        acc[i] = 0.0f;
    for (int32_t ky = t->rows; ky > 0; ky--, x += t->next_x, w += t->next_w)
        for (int32_t i = t->taps; i > 0; i--, x++, w += BLOCK)
            for (int32_t k = 0; k < pixels; k++)
                for (int32_t j = 0; j < BLOCK; j++)
                    acc[BLOCK * k + j] += x[k * t->pitch] * w[j];
    for (int32_t k = 0; k < pixels; k++, out += t->out_pitch)
        for (int32_t j = 0; j < BLOCK; j++)
            out[j] = kb_masked_relu(acc[BLOCK * k + j] + t->bias[j], kb_relu_mask(t->relu));
}

KB_INLINE void make_four(const kb_tile *t)
{
    make(t, KB_TILE);
}

KB_INLINE void make_one(const kb_tile *t)
{
    make(t, 1);
}
#endif

/* All output channels of `pixels` pixels. Of the last block some may not exist, and are not kept. */
KB_INLINE void blocks(kb_tile *t, const kb_conv2d_f32_params *p, int32_t pixels)
{
    const kb_window *g = &p->window;
    const int32_t block = g->kernel_h * g->kernel_w * g->in.channels * BLOCK;
    t->bias = p->bias;
    t->relu = p->relu;
    for (int32_t left = g->out.channels; left > 0; left -= BLOCK) {
        float made[BLOCK * KB_TILE], *const out = t->out;
        const int32_t pitch = t->out_pitch;
        if (left < BLOCK) {
            t->out = made;
            t->out_pitch = BLOCK;
        }
        KB_OPAQUE(left); /* else compilers make the block twice, for either case */
        if (pixels == 1)
            make_one(t);
        else
            make_four(t);
        KB_NO_UNROLL
        for (int32_t k = 0; left < BLOCK && k < pixels; k++)
            KB_NO_UNROLL
        for (int32_t j = 0; j < left; j++)
            out[k * pitch + j] = made[BLOCK * k + j];
        t->out += BLOCK;
        t->bias += BLOCK;
        t->w += block;
    }
}

KB_APART void four(kb_tile *t, const void *p)
{
    blocks(t, p, KB_TILE);
}

KB_APART void one(kb_tile *t, const void *p)
{
    blocks(t, p, 1);
}

KB_KERNEL void kb_conv2d_f32(const float *in, float *out, void *scratch, const kb_conv2d_f32_params *p,
                             const kb_region *r)
{
    (void)scratch;
    kb_for_tiles(in, out, p->weight, &p->window, r, p->window.in.channels * BLOCK, four, one, p);
}
