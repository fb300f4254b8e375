/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution with weights most of which are 0. Columns of the input (all kernel rows of one x, all channels) are
   expanded to words whose halves are of two neighbours: a value, and what the next output pixel reads in its place. So
   one load serves two pixels; four are made at a time, for all channels, by the weights as they lie in flash
   (sparse_conv2d_s8.h). Padding is the zero point; the bias holds -in_zero * sum(weights). */
#include "sparse_conv2d_s8.h"

/* Pixels that are made at a time. */
#define FOUR KB_SPARSE_TOGETHER

#ifdef __ARM_FEATURE_DSP
/* clang-format off */
/* A weight, the `half` of `word`, times what two pairs of pixels read at r3, which `next` moves on. */
#define WEIGHT(word, half, next)                                                                                      \
    "ldr.w r8, [r0, r3, lsl #2]\n ldr.w r9, [r1, r3, lsl #2]\n"                                                       \
    "smlab" half " r4, r8, " word ", r4\n smlat" half " r5, r8, " word ", r5\n" next                                 \
    "smlab" half " r6, r9, " word ", r6\n smlat" half " r7, r9, " word ", r7\n"
#define GAP(at) "ubfx r8, r12, #" at ", #4\n add.w r3, r3, r8\n"
#define CHUNK(b, c, last)                                                                                             \
    WEIGHT("r10", "b", GAP(b)) WEIGHT("r11", "b", GAP(c)) WEIGHT("r10", "t", last) WEIGHT("r11", "t", "")
#define OUTPUT(sum) "smmla " sum ", " sum ", r8, r9\n asr.w " sum ", " sum ", r10\n ssat " sum ", #8, " sum "\n"

/* All channels, up to where their words end, of four pixels; the second two are `apart` bytes from the first; `next` is from
   an output to that of the next pixel. From the stack pointer on there are x, apart, out, next; from 52 on w, end. */
KB_APART __attribute__((naked)) void four_pixels(const int16_t *x, int32_t apart, int8_t *out, int32_t next,
                                                 const uint32_t *w, const uint32_t *end)
{
    __asm__("push {r0-r11, lr}\n add r1, r0\n ldr r2, [sp, #52]\n"
            ".balign 4\n"
            "1: " BEGIN_CHANNEL "mov.w r5, r4\n mov.w r6, r4\n mov.w r7, r4\n" GO_ON_IF_ODD
            ".balign 4\n"
            "2:\n" FIRST_CHUNK(GAP("0")) CHUNK("4", "8", GAP("12"))
            "3:\n" SECOND_CHUNK(GAP("16")) CHUNK("20", "24", "add.w r3, r3, r12, lsr #28\n") "cmp.w r2, lr\n bne.w 2b\n"
            "ldm.w r2!, {r8-r10}\n ldrd r11, r12, [sp, #8]\n ldr.w lr, [sp, #56]\n"
            OUTPUT("r4") OUTPUT("r5") OUTPUT("r6") OUTPUT("r7")
            "add.w r8, r11, r12, lsl #1\n strb.w r5, [r11, r12]\n strb.w r6, [r8]\n strb.w r7, [r8, r12]\n"
            "strb.w r4, [r11], #1\n str.w r11, [sp, #8]\n cmp.w r2, lr\n bne.w 1b\n"
            "add sp, #16\n pop {r4-r11, pc}\n");
}

/* `count` words, whose lower halves are the values from a on, and the upper ones those from b on. */
KB_APART __attribute__((naked)) void pair(int16_t *to, const int8_t *a, const int8_t *b, int32_t count)
{
    __asm__("push {r4-r9, lr}\n subs r3, #4\n bmi 2f\n"
            ".balign 4\n"
            "1: ldr.w r4, [r1], #4\n ldr.w r5, [r2], #4\n subs.w r3, r3, #4\n"
            "sxtb16 r6, r4\n sxtb16 r4, r4, ror #8\n sxtb16 r7, r5\n sxtb16 r5, r5, ror #8\n"
            "pkhbt r8, r6, r7, lsl #16\n pkhbt r9, r4, r5, lsl #16\n pkhtb r7, r7, r6, asr #16\n pkhtb r5, r5, r4, asr #16\n"
            "str.w r9, [r0, #4]\n str.w r7, [r0, #8]\n str.w r5, [r0, #12]\n str.w r8, [r0], #16\n bpl.w 1b\n"
            "2: ands r3, r3, #3\n beq 4f\n"
            "3: ldrsb r4, [r1], #1\n ldrsb r5, [r2], #1\n strh r4, [r0], #2\n strh r5, [r0], #2\n subs r3, #1\n bne 3b\n"
            "4: pop {r4-r9, pc}\n");
}
/* clang-format on */
#else
KB_APART void four_pixels(const int16_t *x, int32_t apart, int8_t *out, int32_t next, const uint32_t *w,
                          const uint32_t *end)
{
    for (; w != end; out++) {
        kb_chunks chunks = chunks_at(w);
        const uint32_t bias = (uint32_t)chunks.bias;
        uint32_t sum[FOUR] = {bias, bias, bias, bias};
        const int16_t *at = x;
        while (chunks.next != chunks.end) {
            read_chunk(&chunks);
            KB_NO_UNROLL
            for (int32_t i = 0; i < 4; i++, chunks.gaps >>= 4, chunks.weights >>= 8) {
                const int32_t weight = (int8_t)chunks.weights;
                at += 2 * (chunks.gaps & 15);
                const int16_t *const second = at + apart / 2;
                sum[0] += (uint32_t)(at[0] * weight), sum[1] += (uint32_t)(at[1] * weight);
                sum[2] += (uint32_t)(second[0] * weight), sum[3] += (uint32_t)(second[1] * weight);
            }
        }
        w = chunks.end + 3;
        KB_UNROLL
        for (int32_t i = 0; i < FOUR; i++)
            out[i * next] = output_of(&chunks, (int32_t)sum[i]);
    }
}

/* `count` words, whose lower halves are the values from a on, and the upper ones those from b on. */
KB_APART void pair(int16_t *to, const int8_t *a, const int8_t *b, int32_t count)
{
    KB_NO_UNROLL
    for (; count > 0; count--, to += 2)
        to[0] = *a++, to[1] = *b++;
}
#endif

/* One half of `count` words: values, or with a step of 0 always the same one. */
KB_APART void half(int16_t *to, const int8_t *from, int32_t step, int32_t count)
{
    KB_NO_UNROLL
    for (; count > 0; count--, from += step, to += 2)
        *to = *from;
}

/* Padding in `count` words. */
KB_APART void pad(int16_t *to, int32_t zero, int32_t count)
{
    const uint32_t both = ((uint32_t)zero & 0xFFFF) * 0x10001;
    KB_NO_UNROLL
    for (; count >= 4; count -= 4, to += 8) {
        const uint32_t four[4] = {both, both, both, both};
        __builtin_memcpy(to, four, 16);
    }
    KB_NO_UNROLL
    for (; count > 0; count--, to += 2)
        to[0] = to[1] = (int16_t)zero;
}

/* `count` columns, from x on, rows y on, of a map of `width`. */
KB_APART void fill(const int8_t *in, int16_t *to, const kb_sparse_conv2d_s8_params *p, int32_t y, int32_t x,
                   int32_t count, int32_t width)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, other = g->stride_w * channels;
    const int8_t zero = (int8_t)p->in_zero;
    KB_NO_UNROLL
    for (; count > 0; count--, x += p->apart) {
        const int first = x >= 0 && x < width, second = x + g->stride_w >= 0 && x + g->stride_w < width;
        for (int32_t row = y; row < y + g->kernel_h; row++, to += 2 * channels) {
            const int32_t at = (row * width + x) * channels;
            if (row < 0 || row >= g->in.height || !(first || second)) {
                pad(to, zero, channels);
            } else if (first && second) {
                pair(to, in + at, in + at + other, channels);
            } else {
                half(to, first ? in + at : &zero, first, channels);
                half(to + 1, second ? in + at + other : &zero, second, channels);
            }
        }
    }
}

/* All channels of `count` pixels of a block; of less than four the outputs go by way of scratch. */
KB_INLINE void make(int16_t *columns, int8_t *scratch, int8_t *out, int32_t count, const kb_sparse_conv2d_s8_params *p)
{
    const int32_t channels = p->window.out.channels, apart = 4 * p->step * p->column;
    KB_STORED(columns);
    for (; count > 0; count -= FOUR, columns += apart, out += FOUR * channels) {
        int8_t *const to = count < FOUR ? scratch : out;
        four_pixels(columns, apart, to, channels, p->weight, p->weight + p->words);
        if (count < FOUR) {
            KB_NO_UNROLL
            for (int32_t i = 0; i < count * channels; i++)
                out[i] = to[i];
        }
    }
}

/* Part of one row of the output. */
KB_APART void convolve_row(const int8_t *in, int8_t *out, void *scratch, const kb_sparse_conv2d_s8_params *p, int32_t y,
                           int32_t x, int32_t x_end, int32_t width)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->out.channels;
    int16_t *const columns = (int16_t *)((int32_t *)scratch + channels);
    for (; x < x_end; x += p->block) {
        const int32_t count = kb_min(p->block, x_end - x), left = x * g->stride_w - g->pad_w;
        const int32_t needed = p->step * ((count + 1) / 2 - 1) + g->kernel_w, top = y * g->stride_h - g->pad_h;
        int8_t *const to = out + x * channels;
        fill(in, columns, p, top, left, needed, width);
        make(columns, scratch, to, count, p);
        if (p->low > -128)
            kb_clamp(to, channels * count, p->low);
    }
}

/* Rows of which every pixel is made of one, all of them, are one long row. */
KB_KERNEL void kb_sparse_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_sparse_conv2d_s8_params *p,
                                   const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t width = g->in.width;
    if (g->kernel_h * g->kernel_w * g->stride_h * g->stride_w == 1 && g->out.height == g->in.height &&
        g->out.width == width && r->x_end - r->x == width)
        convolve_row(in, out, scratch, p, 0, r->y * width, r->y_end * width, g->in.height * width);
    else
        for (int32_t y = r->y; y < r->y_end; y++)
            convolve_row(in, out + y * g->out.width * g->out.channels, scratch, p, y, r->x, r->x_end, width);
}
