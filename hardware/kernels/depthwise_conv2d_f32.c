/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_inline.h"

/* The taps of a pixel that lie inside the map: `rows` by `columns`; bytes from one to the next, and from row end to
   row start. */
typedef struct {
    const float *x, *w;
    int32_t rows, columns, step, next_x, next_w;
} patch;

/* Sums of products for `count` channels. */
KB_INLINE void sum_taps(float *acc, const patch *t, int32_t c, int32_t count)
{
    const char *x = (const char *)(t->x + c), *w = (const char *)(t->w + c);
#if defined(__thumb2__) && defined(__ARM_FP)
    if (count == 4 && t->rows > 0 && t->columns > 0) {
        int32_t rows = t->rows, columns;
        __asm__ volatile("vldmia %[acc], {s0-s3}\n"
                         ".p2align 2\n"
                         "1:\n"
                         "mov.w %[i], %[columns]\n"
                         "2:\n"
                         "vldmia %[x], {s4-s7}\n"
                         "vldmia %[w], {s8-s11}\n"
                         "add.w %[x], %[x], %[step]\n"
                         "add.w %[w], %[w], %[step]\n"
                         "vmul.f32 s4, s4, s8\n vmul.f32 s5, s5, s9\n vmul.f32 s6, s6, s10\n vmul.f32 s7, s7, s11\n"
                         "vadd.f32 s0, s0, s4\n vadd.f32 s1, s1, s5\n vadd.f32 s2, s2, s6\n vadd.f32 s3, s3, s7\n"
                         "subs.w %[i], %[i], #1\n"
                         "bne.w 2b\n"
                         "add.w %[x], %[x], %[next_x]\n"
                         "add.w %[w], %[w], %[next_w]\n"
                         "subs.w %[rows], %[rows], #1\n"
                         "bne 1b\n"
                         "vstmia %[acc], {s0-s3}\n"
                         : [x] "+r"(x), [w] "+r"(w), [rows] "+r"(rows), [i] "=&r"(columns)
                         : [acc] "r"(acc), [step] "r"(t->step), [columns] "r"(t->columns), [next_x] "r"(t->next_x),
                           [next_w] "r"(t->next_w)
                         : "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11");
        return;
    }
#endif
    for (int32_t ky = t->rows; ky > 0; ky--, x += t->next_x, w += t->next_w)
        for (int32_t kx = t->columns; kx > 0; kx--, x += t->step, w += t->step)
            for (int32_t j = 0; j < count; j++)
                acc[j] += ((const float *)x)[j] * ((const float *)w)[j];
}

/* `count` channels of one pixel. The order of the sum is fixed: rows, columns, then the bias. */
KB_INLINE void block(const patch *t, float *out, const kb_depthwise_conv2d_f32_params *p, int32_t c, int32_t count)
{
    const int32_t mask = kb_relu_mask(p->relu);
    float acc[4] = {0, 0, 0, 0};
    sum_taps(acc, t, c, count);
    for (int32_t j = 0; j < count; j++)
        out[c + j] = kb_masked_relu(acc[j] + p->bias[c + j], mask);
}

KB_APART void pixel(const patch *t, float *out, const kb_depthwise_conv2d_f32_params *p)
{
#define STEP(c, count) block(t, out, p, c, count)
    KB_FOR_CHANNELS(p->window.out.channels, STEP);
#undef STEP
}

KB_KERNEL void kb_depthwise_conv2d_f32(const float *in, float *out, void *scratch,
                                       const kb_depthwise_conv2d_f32_params *p, const kb_region *r)
{
    const kb_window *g = &p->window;
    (void)scratch;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        float *to = out + (y * g->out.width + r->x) * g->out.channels;
        for (int32_t x = r->x; x < r->x_end; x++) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
            const int32_t columns = column.to - column.from, step = 4 * g->in.channels;
            const patch t = {in + ((row.start + row.from) * g->in.width + column.start + column.from) * g->in.channels,
                             p->weight + (row.from * g->kernel_w + column.from) * g->in.channels,
                             row.to - row.from,
                             columns,
                             step,
                             (g->in.width - columns) * step,
                             (g->kernel_w - columns) * step};
            pixel(&t, to, p);
            to += g->out.channels;
        }
    }
}
