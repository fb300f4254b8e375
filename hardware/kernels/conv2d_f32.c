/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

/* Output channels in a block; pixels in a tile. */
#define BLOCK 4
#define TILE 4

#if defined(__thumb2__) && defined(__ARM_FP)
/* Compilers neither load several registers at once here nor keep all sums in registers.
   MAC4: products of weights s[w] to s[w + 3] with s[x] are added to s[a] to s[a + 3]. */
#define MAC4(a0, a1, a2, a3, w0, w1, w2, w3, x)                                                                        \
    "vmul.f32 s28, s" #w0 ", s" #x "\n vmul.f32 s29, s" #w1 ", s" #x "\n"                                              \
    "vmul.f32 s30, s" #w2 ", s" #x "\n vmul.f32 s31, s" #w3 ", s" #x "\n"                                              \
    "vadd.f32 s" #a0 ", s" #a0 ", s28\n vadd.f32 s" #a1 ", s" #a1 ", s29\n"                                            \
    "vadd.f32 s" #a2 ", s" #a2 ", s30\n vadd.f32 s" #a3 ", s" #a3 ", s31\n"
#define CLOBBERED                                                                                                      \
    "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14",     \
        "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29",       \
        "s30", "s31"

/* clang-format off */
/* Adds the products of n inputs of each of TILE pixels, `step` apart, with weights [n][BLOCK]. */
KB_INLINE void add_tile(float *acc, const float *x, int32_t step, const float *w, int32_t n)
{
    const float *x1 = x + step, *x2 = x1 + step, *x3 = x2 + step;
    __asm__ volatile("vldmia %[acc], {s0-s15}\n"
                     "subs %[n], %[n], #2\n"
                     "blt 2f\n"
                     ".p2align 2\n"
                     "1:\n"
                     "vldmia %[x]!, {s24-s25}\n"
                     "vldmia %[w]!, {s16-s23}\n"
                     "vldmia %[x1]!, {s26-s27}\n"
                     MAC4(0, 1, 2, 3, 16, 17, 18, 19, 24) MAC4(0, 1, 2, 3, 20, 21, 22, 23, 25)
                     "vldmia %[x2]!, {s24-s25}\n"
                     MAC4(4, 5, 6, 7, 16, 17, 18, 19, 26) MAC4(4, 5, 6, 7, 20, 21, 22, 23, 27)
                     "vldmia %[x3]!, {s26-s27}\n"
                     MAC4(8, 9, 10, 11, 16, 17, 18, 19, 24) MAC4(8, 9, 10, 11, 20, 21, 22, 23, 25)
                     MAC4(12, 13, 14, 15, 16, 17, 18, 19, 26) MAC4(12, 13, 14, 15, 20, 21, 22, 23, 27)
                     "subs %[n], %[n], #2\n"
                     "bge 1b\n"
                     "2:\n"
                     "adds %[n], %[n], #2\n"
                     "beq 3f\n"
                     "vldr s24, [%[x]]\n vldr s25, [%[x1]]\n vldr s26, [%[x2]]\n vldr s27, [%[x3]]\n"
                     "vldmia %[w], {s16-s19}\n"
                     MAC4(0, 1, 2, 3, 16, 17, 18, 19, 24) MAC4(4, 5, 6, 7, 16, 17, 18, 19, 25)
                     MAC4(8, 9, 10, 11, 16, 17, 18, 19, 26) MAC4(12, 13, 14, 15, 16, 17, 18, 19, 27)
                     "3:\n"
                     "vstmia %[acc], {s0-s15}\n"
                     : [x] "+r"(x), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3), [w] "+r"(w), [n] "+r"(n)
                     : [acc] "r"(acc)
                     : CLOBBERED);
}

/* The same for one pixel. */
KB_INLINE void add_pixel(float *acc, const float *x, const float *w, int32_t n)
{
    __asm__ volatile("vldmia %[acc], {s0-s3}\n"
                     "subs %[n], %[n], #4\n"
                     "blt 2f\n"
                     ".p2align 2\n"
                     "1:\n"
                     "vldmia %[x]!, {s24-s27}\n"
                     "vldmia %[w]!, {s8-s23}\n"
                     MAC4(0, 1, 2, 3, 8, 9, 10, 11, 24) MAC4(0, 1, 2, 3, 12, 13, 14, 15, 25)
                     MAC4(0, 1, 2, 3, 16, 17, 18, 19, 26) MAC4(0, 1, 2, 3, 20, 21, 22, 23, 27)
                     "subs %[n], %[n], #4\n"
                     "bge 1b\n"
                     "2:\n"
                     "adds %[n], %[n], #4\n"
                     "beq 4f\n"
                     "3:\n"
                     "vldmia %[x]!, {s24}\n"
                     "vldmia %[w]!, {s8-s11}\n"
                     MAC4(0, 1, 2, 3, 8, 9, 10, 11, 24)
                     "subs %[n], %[n], #1\n"
                     "bne 3b\n"
                     "4:\n"
                     "vstmia %[acc], {s0-s3}\n"
                     : [x] "+r"(x), [w] "+r"(w), [n] "+r"(n)
                     : [acc] "r"(acc)
                     : CLOBBERED);
}
/* clang-format on */
#else
KB_INLINE void add_tile(float *acc, const float *x, int32_t step, const float *w, int32_t n)
{
    for (int32_t i = 0; i < n; i++, w += BLOCK)
        for (int32_t t = 0; t < TILE; t++)
            for (int32_t j = 0; j < BLOCK; j++)
                acc[BLOCK * t + j] += x[t * step + i] * w[j];
}

KB_INLINE void add_pixel(float *acc, const float *x, const float *w, int32_t n)
{
    for (int32_t i = 0; i < n; i++, w += BLOCK)
        for (int32_t j = 0; j < BLOCK; j++)
            acc[j] += x[i] * w[j];
}
#endif

/* Bias and ReLU of `count` output channels from o on. */
KB_INLINE void finish(const float *acc, float *out, const kb_conv2d_f32_params *p, int32_t o, int32_t pixels,
                      int32_t count)
{
    const int32_t mask = kb_relu_mask(p->relu);
    float bias[BLOCK];
    for (int32_t j = 0; j < count; j++)
        bias[j] = p->bias[o + j];
    for (int32_t t = 0; t < pixels; t++, out += p->window.out.channels)
        for (int32_t j = 0; j < count; j++)
            out[j] = kb_masked_relu(acc[BLOCK * t + j] + bias[j], mask);
}

/* `pixels` (1 or TILE) that read the same taps, all output channels. The order of the sum is fixed: rows, columns,
   channels, then the bias. */
KB_INLINE void compute(const float *in, float *out, const kb_conv2d_f32_params *p, kb_span row, kb_span column,
                       int32_t pixels)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, outputs = g->out.channels, step = g->stride_w * channels;
    const int32_t line = g->kernel_w * channels, taps = (column.to - column.from) * channels;
    const float *from = in + ((row.start + row.from) * g->in.width + column.start + column.from) * channels;
    const float *weight = p->weight + (row.from * line + column.from * channels) * BLOCK;
    for (int32_t o = 0; o < outputs; o += BLOCK, weight += g->kernel_h * line * BLOCK) {
        float acc[BLOCK * TILE];
        const float *x = from, *w = weight;
        for (int32_t i = 0; i < BLOCK * pixels; i++)
            acc[i] = 0.0f;
        for (int32_t ky = row.from; ky < row.to; ky++, x += g->in.width * channels, w += line * BLOCK)
            if (pixels == 1)
                add_pixel(acc, x, w, taps);
            else
                add_tile(acc, x, step, w, taps);
        if (outputs - o >= BLOCK)
            finish(acc, out + o, p, o, pixels, BLOCK);
        else
            finish(acc, out + o, p, o, pixels, outputs - o);
    }
}

KB_APART void tile(const float *in, float *out, const kb_conv2d_f32_params *p, kb_span row, kb_span column)
{
    compute(in, out, p, row, column, TILE);
}

KB_APART void pixel(const float *in, float *out, const kb_conv2d_f32_params *p, kb_span row, kb_span column)
{
    compute(in, out, p, row, column, 1);
}

KB_KERNEL void kb_conv2d_f32(const float *in, float *out, void *scratch, const kb_conv2d_f32_params *p,
                             const kb_region *r)
{
    const kb_window *g = &p->window;
    (void)scratch;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        float *to = out + (y * g->out.width + r->x) * g->out.channels;
        for (int32_t x = r->x, count; x < r->x_end; x += count, to += count * g->out.channels) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
            const int32_t last = column.start + (TILE - 1) * g->stride_w;
            const int inside = column.start >= 0 && last + g->kernel_w <= g->in.width && x + TILE <= r->x_end;
            count = inside ? TILE : 1;
            if (inside)
                tile(in, to, p, row, column);
            else
                pixel(in, to, p, row, column);
        }
    }
}
