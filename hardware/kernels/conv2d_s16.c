/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution of an int16 map, the input of a network, with int8 weights kept at 16 bits; int8 output.

   Columns of the input (all kernel rows of one x, all channels) are gathered once per block of output pixels; a pixel's
   taps are then consecutive, and neighbouring pixels share columns. Padding is 0. The lowering has seen to it that no
   sum of products leaves int32. */
#include "kb_columns.h"
#include "kb_inline.h"

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* acc plus two products; x and w lie at whole words. */
KB_INLINE int32_t two_taps(const int16_t *x, const int16_t *w, int32_t acc)
{
#ifdef __ARM_ARCH_6M__ /* its loads of signed halves need an index in a register */
    int32_t a, b;
    __builtin_memcpy(&a, __builtin_assume_aligned(x, 4), 4);
    __builtin_memcpy(&b, __builtin_assume_aligned(w, 4), 4);
    return acc + (int16_t)a * (int16_t)b + (a >> 16) * (b >> 16);
#else
    return acc + x[0] * w[0] + x[1] * w[1];
#endif
}

/* All channels of one pixel. */
KB_APART void one_pixel(const int16_t *x, int8_t *out, const kb_conv2d_s16_params *p)
{
    const int32_t *channel = p->channel, *const end = channel + 4 * p->window.out.channels;
    const int16_t *w = p->weight;
    for (; channel != end; channel += 4) {
        int32_t acc = channel[0];
        const int16_t *at = x, *const stop = x + p->taps;
        KB_NO_UNROLL
        for (; at != stop; at += 2, w += 2)
            acc = two_taps(at, w, acc);
        const int32_t value = KB_BY_CHANNEL(acc, channel, p->out_zero);
        *out++ = kb_saturate(value, p->low);
    }
}

#if defined(__ARM_FEATURE_DSP)
/* The registers of the two functions below: r0 x, r1 weights, r2 channel, r3 out, r4-r7 sums of four pixels, r8-r11
   their taps, r12 weights; on the stack at 0 channel and 12 out where r2 and r3 are needed, at 4 and 8 the first
   weights and channel, then what is saved, and from 52 the parameters from `turns` on. */
/* clang-format off */
#define BEGIN "push {r0-r11, lr}\n"
#define ONE_OUTPUT(acc)                                                                                               \
    "smmla " acc ", " acc ", r8, r9\n asr " acc ", " acc ", r10\n ssat " acc ", #8, " acc "\n"                        \
    "cmp " acc ", r11\n it lt\n movlt " acc ", r11\n"
/* Four outputs of a channel; then back to 1 for the next channel, or for the next four pixels, `skip` after these. */
#define FINISH(skip)                                                                                                  \
    "ldr r8, [r2, #-12]\n ldr r9, [r2, #-8]\n ldr r10, [r2, #-4]\n ldr r11, [sp, #60]\n ldr lr, [sp, #56]\n"          \
    ONE_OUTPUT("r4") ONE_OUTPUT("r5") "add r12, lr, lr, lsl #1\n" ONE_OUTPUT("r6") ONE_OUTPUT("r7")                   \
    "strb r5, [r3, lr]\n strb r6, [r3, lr, lsl #1]\n strb r7, [r3, r12]\n strb r4, [r3], #1\n"                       \
    "ldr r8, [sp, #64]\n cmp r2, r8\n bne.w 1b\n"                                                                   \
    "ldr r1, [sp, #4]\n ldr r2, [sp, #8]\n ldr r8, [sp, #52]\n add r3, r12\n" skip                                 \
    "subs r8, #1\n str r8, [sp, #52]\n bne.w 1b\n add sp, #16\n pop {r4-r11, pc}\n"

/* All channels of four pixels that are `step` bytes apart, `turns` times. 36 bytes a step: the first turn of the loop
   of four steps is entered where what is left over begins. */
KB_APART __attribute__((naked)) void four_pixels(const int16_t *x, const int16_t *w, const int32_t *channel,
                                                 int8_t *out, int32_t turns, int32_t channels, int32_t low,
                                                 const int32_t *end, int32_t step, int32_t taps)
{
#define STEP                                                                                                          \
    "ldr r12, [r1], #4\n ldr r9, [r0, lr]\n ldr r10, [r0, lr, lsl #1]\n ldr r11, [r0, r2]\n ldr r8, [r0], #4\n"       \
    "smlad r4, r12, r8, r4\n smlad r5, r12, r9, r5\n smlad r6, r12, r10, r6\n smlad r7, r12, r11, r7\n"
    __asm__(BEGIN "1: ldr r4, [r2], #16\n str r2, [sp]\n str r3, [sp, #12]\n ldr lr, [sp, #68]\n ldr r3, [sp, #72]\n"
            "mov r5, r4\n mov r6, r4\n mov r7, r4\n add r2, lr, lr, lsl #1\n"
            "ubfx r8, r3, #1, #2\n rsb r8, r8, #4\n and r8, r8, #3\n add r8, r8, r8, lsl #3\n adr r9, 2f\n"
            "add r8, r9, r8, lsl #2\n orr r8, r8, #1\n add r3, r1, r3, lsl #1\n bx r8\n"
            ".balign 4\n"
            "2:\n" STEP STEP STEP STEP "cmp r1, r3\n bne.w 2b\n"
            "ldr r2, [sp]\n ldr r3, [sp, #12]\n ldr r8, [sp, #72]\n sub r0, r0, r8, lsl #1\n"
            FINISH("ldr lr, [sp, #68]\n add r0, r0, lr, lsl #2\n"));
}

/* The same for nine taps with a tenth of weight 0, pixels a word apart: the first layer of ACDNet. */
KB_APART __attribute__((naked)) void nine_taps(const int16_t *x, const int16_t *w, const int32_t *channel, int8_t *out,
                                               int32_t turns, int32_t channels, int32_t low, const int32_t *end)
{
/* Two taps of the pixels whose taps are in a, b, c and, still to be loaded, in d. */
#define NEXT(a, b, c, d, offset)                                                                                      \
    "ldr " d ", [r0, #" offset "]\n ldr r12, [r1], #4\n smlad r4, r12, " a ", r4\n smlad r5, r12, " b ", r5\n"        \
    "smlad r6, r12, " c ", r6\n smlad r7, r12, " d ", r7\n"
    __asm__(BEGIN ".balign 4\n"
            "1: ldr r12, [r1], #4\n ldr r4, [r2], #16\n ldm r0, {r8-r11}\n"
            "smlad r7, r12, r11, r4\n smlad r6, r12, r10, r4\n smlad r5, r12, r9, r4\n smlad r4, r12, r8, r4\n"
            NEXT("r9", "r10", "r11", "r8", "16") NEXT("r10", "r11", "r8", "r9", "20")
            NEXT("r11", "r8", "r9", "r10", "24") NEXT("r8", "r9", "r10", "r11", "28")
            FINISH("adds r0, #16\n"));
}
/* clang-format on */

/* `count` pixels. */
KB_INLINE void make(const int16_t *x, int32_t step, int8_t *out, int32_t count, const kb_conv2d_s16_params *p)
{
    const int32_t channels = p->window.out.channels;
    const int32_t *const end = p->channel + 4 * channels;
    int32_t done = p->quick ? count & ~3 : 0;
    if (done && step == 2 && p->taps == 10)
        nine_taps(x, p->weight, p->channel, out, done / 4, channels, p->low, end);
    else if (done)
        four_pixels(x, p->weight, p->channel, out, done / 4, channels, p->low, end, 2 * step, p->taps);
    for (; done < count; done++)
        one_pixel(x + done * step, out + done * channels, p);
}
#else
KB_INLINE void make(const int16_t *x, int32_t step, int8_t *out, int32_t count, const kb_conv2d_s16_params *p)
{
    for (; count > 0; count--, x += step, out += p->window.out.channels)
        one_pixel(x, out, p);
}
#endif

KB_INLINE void copy(int16_t *to, const int16_t *from, int32_t count)
{
#ifdef __ARM_FEATURE_DSP
    for (; count >= 4; count -= 4) {
        uint32_t a, b;
        __asm__("ldr %[a], [%[from]], #8\n ldr %[b], [%[from], #-4]\n str %[a], [%[to]], #8\n str %[b], [%[to], #-4]\n"
                : [from] "+r"(from), [to] "+r"(to), [a] "=&r"(a), [b] "=&r"(b)
                :
                : "memory");
    }
#endif
    KB_NO_UNROLL
    for (int32_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* `count` columns from x on, rows y on. What fills up a column is multiplied by weights of 0 and left as it is. */
KB_APART void fill(const int16_t *in, int16_t *to, const kb_conv2d_s16_params *p, int32_t y, int32_t x, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, column = p->column;
    const kb_span inside = kb_clip(x, count, g->in.width);
    for (int32_t row = y; row < y + g->kernel_h; row++, to += channels) {
        if (row < 0 || row >= g->in.height) {
            kb_pad(to, 0, channels, column, count);
            continue;
        }
        const int16_t *from = in + (row * g->in.width + x + inside.from) * channels;
        kb_pad(to, 0, channels, column, inside.from);
        if (column == channels)
            copy(to + inside.from * column, from, channels * (inside.to - inside.from));
        else
            for (int32_t i = inside.from; i < inside.to; i++, from += channels)
                copy(to + i * column, from, channels);
        kb_pad(to + inside.to * column, 0, channels, column, count - inside.to);
    }
}

KB_KERNEL void kb_conv2d_s16(const int16_t *in, int8_t *out, void *scratch, const kb_conv2d_s16_params *p,
                             const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t step = g->stride_w * p->column, channels = g->out.channels;
    int16_t *const columns = scratch;
    for (int32_t y = r->y; y < r->y_end; y++)
        for (int32_t x = r->x; x < r->x_end; x += p->block) {
            const int32_t count = kb_min(p->block, r->x_end - x);
            int8_t *const to = out + (y * g->out.width + x) * channels;
            fill(in, columns, p, y * g->stride_h - g->pad_h, x * g->stride_w - g->pad_w,
                 (count - 1) * g->stride_w + g->kernel_w);
            make(columns, step, to, count, p);
        }
}
