/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution.

   Columns of the input (all kernel rows of one x, all channels) are expanded to 16 bits once per block of output
   pixels; a pixel's taps are then consecutive, and neighbouring pixels share columns. Padding is the zero point; the
   bias holds -in_zero * sum(weights).

   The weights of two output channels share a half word, 256 * w1 + w0, so that one multiplication serves both: with
   s = sum x * (256 * w1 + w0) and b = sum x * w0, the sum of channel 1 is (s - b) / 256, exact in 24 bits over CHUNK
   taps.
   Weights: [quads of output channels][taps / 2][pairs of the quad][2].
   Sums: [output channels][pixels]. */
#include "kb_inline.h"

enum { CHUNK = 512 };

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* Sums of one chunk of taps for all quads: of the pixels x and y, or of x alone. The weights of a quad end `skip` bytes
   before those of the next begin. `taps` is a multiple of 4. */
static void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads,
                       int32_t skip);
static void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads, int32_t skip);

#if defined(__ARM_FEATURE_DSP)
/* clang-format off */
/* Two taps of two pixels (in r12 and lr) with one pair. */
#define PAIR(s0, s1, b0, b1)                                                                                          \
    "smlad " s0 ", r3, r12, " s0 "\n smlad " s1 ", r3, lr, " s1 "\n sxtb16 r3, r3\n"                                  \
    "smlad " b0 ", r3, r12, " b0 "\n smlad " b1 ", r3, lr, " b1 "\n"
#define STEP                                                                                                          \
    "ldr r12, [r0], #4\n ldr lr, [r1], #4\n ldr r3, [r2], #4\n" PAIR("r6", "r7", "r4", "r5")                          \
    "ldr r3, [r2], #4\n" PAIR("r10", "r11", "r8", "r9")

/* 56 bytes a step: the first turn of the loop of eight steps is entered where what is left over begins. */
KB_APART __attribute__((naked)) void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum,
                                                int32_t taps, int32_t quads, int32_t skip)
{
    __asm__("push {r4-r11, lr}\n sub sp, #12\n str r3, [sp]\n" /* at 48, 52, 56: taps, quads, skip */
            "1: ldr r3, [sp, #48]\n add r12, r2, r3, lsl #2\n str r12, [sp, #4]\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n"
            "mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n"
            "ubfx r3, r3, #1, #3\n cbz r3, 2f\n rsb r3, r3, #8\n rsb r3, r3, r3, lsl #3\n"
            "adr r12, 2f\n add r12, r12, r3, lsl #3\n orr r12, r12, #1\n bx r12\n"
            ".balign 4\n"
            "2:\n" STEP STEP STEP STEP STEP STEP STEP STEP "ldr r3, [sp, #4]\n cmp r2, r3\n bne.w 2b\n"
            "subs r6, r6, r4\n subs r7, r7, r5\n sub r10, r10, r8\n sub r11, r11, r9\n"
            "asrs r6, r6, #8\n asrs r7, r7, #8\n asr r10, r10, #8\n asr r11, r11, #8\n"
            "ldr r3, [sp]\n stmia r3!, {r4-r11}\n str r3, [sp]\n"
            "ldr r3, [sp, #48]\n ldr r4, [sp, #56]\n ldr r5, [sp, #52]\n"
            "sub r0, r0, r3, lsl #1\n sub r1, r1, r3, lsl #1\n add r2, r4\n"
            "subs r5, #1\n str r5, [sp, #52]\n bne.w 1b\n"
            "add sp, #12\n pop {r4-r11, pc}\n");
}

/* Four taps of one pixel with both pairs. */
#define FOUR_TAPS                                                                                                     \
    "ldr %[p], [%[w]], #16\n ldr %[u], [%[x]], #8\n ldr %[q], [%[w], #-12]\n ldr %[r], [%[w], #-8]\n"                 \
    "ldr %[t], [%[w], #-4]\n ldr %[v], [%[x], #-4]\n"                                                                 \
    "smlad %[s0], %[p], %[u], %[s0]\n smlad %[s1], %[q], %[u], %[s1]\n sxtb16 %[p], %[p]\n sxtb16 %[q], %[q]\n"       \
    "smlad %[b0], %[p], %[u], %[b0]\n smlad %[b1], %[q], %[u], %[b1]\n"                                               \
    "smlad %[s0], %[r], %[v], %[s0]\n smlad %[s1], %[t], %[v], %[s1]\n sxtb16 %[r], %[r]\n sxtb16 %[t], %[t]\n"       \
    "smlad %[b0], %[r], %[v], %[b0]\n smlad %[b1], %[t], %[v], %[b1]\n"
#define OPERANDS                                                                                                      \
    : [s0] "+r"(s0), [s1] "+r"(s1), [b0] "+r"(b0), [b1] "+r"(b1), [w] "+r"(w), [x] "+r"(at), [p] "=&r"(p),            \
      [q] "=&r"(q), [r] "=&r"(r), [t] "=&r"(t), [u] "=&r"(u), [v] "=&r"(v)                                            \
    : [end] "r"(end)                                                                                                  \
    : "memory", "cc"
/* clang-format on */

KB_APART void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads, int32_t skip)
{
    for (; quads > 0; quads--, sum += 4, w += skip / 2) {
        const int16_t *at = x, *const end = w + 2 * taps;
        int32_t s0 = 0, s1 = 0, b0 = 0, b1 = 0, p, q, r, t, u, v;
        if (taps & 4)
            __asm__(FOUR_TAPS OPERANDS);
        if (taps >= 8)
            __asm__(".balign 4\n1:\n" FOUR_TAPS FOUR_TAPS "cmp %[w], %[end]\n bne.w 1b\n" OPERANDS);
        sum[0] = b0, sum[1] = (s0 - b0) >> 8, sum[2] = b1, sum[3] = (s1 - b1) >> 8;
    }
}
#else
/* One pair of a quad, for x and the pixel `distance` bytes after it. */
#if defined(__ARM_ARCH_6M__)
/* clang-format off */
/* One tap: the pair in r3, the first pixel in r5, both destroyed. */
#define TAP                                                                                                           \
    "mov r6, r3\n muls r6, r5, r6\n add r8, r6\n sxtb r6, r3\n muls r5, r6, r5\n add r10, r5\n ldrsh r5, [r0, r1]\n"   \
    "muls r3, r5, r3\n add r9, r3\n muls r6, r5, r6\n add r11, r6\n adds r0, #2\n"
#define TWO_TAPS(offset)                                                                                              \
    "ldr r7, [r2, #" offset "]\n ldr r4, [r0]\n sxth r3, r7\n sxth r5, r4\n" TAP                                       \
    "asrs r3, r7, #16\n asrs r5, r4, #16\n" TAP

KB_APART __attribute__((naked)) void pair(const int16_t *x, int32_t distance, const int16_t *w, int32_t *sum,
                                          int32_t taps)
{
    __asm__("push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r3-r7}\n"
            "ldr r4, [sp, #40]\n lsls r4, r4, #2\n adds r4, r4, r2\n mov lr, r4\n"
            "movs r4, #0\n mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n"
            "1:\n" TWO_TAPS("0") TWO_TAPS("8") "adds r2, #16\n cmp r2, lr\n bne 1b\n"
            "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
            "subs r4, r4, r6\n asrs r4, r4, #8\n subs r5, r5, r7\n asrs r5, r5, #8\n"
            "pop {r3}\n str r6, [r3]\n str r7, [r3, #4]\n str r4, [r3, #8]\n str r5, [r3, #12]\n"
            "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n");
}
/* clang-format on */
#else
KB_INLINE void pair(const int16_t *x, int32_t distance, const int16_t *w, int32_t *sum, int32_t taps)
{
    const int16_t *y = x + distance / 2;
    uint32_t s0 = 0, s1 = 0, b0 = 0, b1 = 0;
    for (int32_t i = 0; i < taps; i++) {
        const int32_t both = w[i / 2 * 4 + i % 2], first = (int8_t)both;
        s0 += (uint32_t)(x[i] * both), b0 += (uint32_t)(x[i] * first);
        s1 += (uint32_t)(y[i] * both), b1 += (uint32_t)(y[i] * first);
    }
    sum[0] = (int32_t)b0, sum[1] = (int32_t)b1, sum[2] = (int32_t)(s0 - b0) >> 8, sum[3] = (int32_t)(s1 - b1) >> 8;
}
#endif

KB_APART void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum, int32_t taps,
                         int32_t quads, int32_t skip)
{
    for (; quads > 0; quads--, sum += 8, w += 2 * taps + skip / 2) {
        pair(x, (int32_t)(y - x) * 2, w, sum, taps);
        pair(x, (int32_t)(y - x) * 2, w + 2, sum + 4, taps);
    }
}

KB_APART void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads, int32_t skip)
{
    for (; quads > 0; quads--, sum += 4, w += 2 * taps + skip / 2) {
        int32_t both[4];
        pair(x, 0, w, both, taps);
        sum[0] = both[0], sum[1] = both[2];
        pair(x, 0, w + 2, both, taps);
        sum[2] = both[0], sum[3] = both[2];
    }
}
#endif

/* However many taps: all sums of `pixels` pixels, 1 or 2, the second `step` halves after the first. */
KB_APART void accumulate(const int16_t *x, int32_t step, int32_t pixels, int32_t *sum, int32_t quads,
                         const kb_conv2d_s8_params *p)
{
    const int32_t count = 4 * pixels * quads;
    for (int32_t k = 0; k < p->taps; k += CHUNK) {
        const int32_t taps = kb_min(CHUNK, p->taps - k), skip = 4 * (p->taps - taps);
        int32_t *const part = k ? sum + count : sum;
        if (pixels == 2)
            two_pixels(x + k, x + step + k, p->weight + 2 * k, part, taps, quads, skip);
        else
            one_pixel(x + k, p->weight + 2 * k, part, taps, quads, skip);
        for (int32_t i = 0; k && i < count; i++)
            sum[i] += part[i];
    }
}

/* Outputs of `pixels` pixels, 1 or 2, from their sums. */
KB_APART void finish(const int32_t *sum, int8_t *out, int32_t pixels, const kb_conv2d_s8_params *p)
{
    const int32_t channels = p->window.out.channels;
    const int32_t *channel = p->channel;
    for (int32_t o = 0; o < channels; o++, channel += 4, out++)
        for (int32_t i = 0; i < pixels; i++) {
            const int32_t acc = *sum++ + channel[0];
            const int32_t value = channel[3] > 0 ? kb_multiply_high(acc, channel[1], channel[2]) >> channel[3]
                                                 : kb_requantise(acc, channel[1], -channel[3]) + p->out_zero;
            out[i * channels] = kb_saturate(value, p->low);
        }
}

#if defined(__ARM_FEATURE_DSP)
/* finish for two pixels where every shift is above 0. */
KB_APART void finish_two(const int32_t *sum, int8_t *out, const kb_conv2d_s8_params *p)
{
    const int32_t channels = p->window.out.channels, low = p->low;
    const int32_t *channel = p->channel, *const end = channel + 4 * channels;
    int8_t *next = out + channels;
    while (channel != end) {
        int32_t bias, multiplier, offset, shift, a, b;
        __asm__("ldr %[m], [%[c], #4]\n ldr %[o], [%[c], #8]\n ldr %[s], [%[c], #12]\n ldr %[z], [%[c]], #16\n"
                "ldr %[a], [%[x]], #8\n ldr %[b], [%[x], #-4]\n"
                "add %[a], %[a], %[z]\n add %[b], %[b], %[z]\n"
                "smmla %[a], %[a], %[m], %[o]\n smmla %[b], %[b], %[m], %[o]\n"
                "asr %[a], %[a], %[s]\n asr %[b], %[b], %[s]\n ssat %[a], #8, %[a]\n ssat %[b], #8, %[b]\n"
                "cmp %[a], %[low]\n it lt\n movlt %[a], %[low]\n cmp %[b], %[low]\n it lt\n movlt %[b], %[low]\n"
                "strb %[a], [%[out]], #1\n strb %[b], [%[next]], #1\n"
                : [m] "=&r"(multiplier), [o] "=&r"(offset), [s] "=&r"(shift), [z] "=&r"(bias), [a] "=&r"(a),
                  [b] "=&r"(b), [c] "+r"(channel), [x] "+r"(sum), [out] "+r"(out), [next] "+r"(next)
                : [low] "r"(low)
                : "memory", "cc");
    }
}
#else
#define finish_two(sum, out, p) finish(sum, out, 2, p)
#endif

/* `count` values to 16 bits. */
KB_INLINE void expand(int16_t *to, const int8_t *from, int32_t count)
{
#ifdef __ARM_FEATURE_DSP
    for (; count >= 8; count -= 8) {
        uint32_t a, b, c, d;
        __asm__("ldr %[a], [%[from]], #8\n ldr %[b], [%[from], #-4]\n"
                "sxtb16 %[c], %[a]\n sxtb16 %[a], %[a], ror #8\n pkhbt %[d], %[c], %[a], lsl #16\n"
                "pkhtb %[a], %[a], %[c], asr #16\n str %[d], [%[to]], #16\n str %[a], [%[to], #-12]\n"
                "sxtb16 %[c], %[b]\n sxtb16 %[b], %[b], ror #8\n pkhbt %[d], %[c], %[b], lsl #16\n"
                "pkhtb %[b], %[b], %[c], asr #16\n str %[d], [%[to], #-8]\n str %[b], [%[to], #-4]\n"
                : [from] "+r"(from), [to] "+r"(to), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)
                :
                : "memory");
    }
#endif
    KB_NO_UNROLL
    for (int32_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* The same value in `count` columns of `channels`. */
KB_APART void pad(int16_t *to, int32_t value, int32_t channels, int32_t column, int32_t count)
{
    for (; count > 0; count--, to += column) {
        KB_NO_UNROLL
        for (int32_t c = 0; c < channels; c++)
            to[c] = (int16_t)value;
    }
}

/* One row of `count` columns. */
KB_INLINE void copy_row(int16_t *to, const int8_t *from, int32_t channels, int32_t column, int32_t count)
{
    if (column == channels) {
        expand(to, from, channels * count);
    } else if (channels == 1) {
        for (; count > 0; count--, to += column)
            *to = *from++;
    } else {
        for (; count > 0; count--, to += column, from += channels)
            expand(to, from, channels);
    }
}

/* `count` columns from x on, rows y on. What fills up a column is multiplied by weights of 0 and left as it is. */
KB_APART void fill(const int8_t *in, int16_t *to, const kb_conv2d_s8_params *p, int32_t y, int32_t x, int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, zero = p->in_zero, column = p->column;
    const kb_span inside = kb_clip(x, count, g->in.width);
    for (int32_t row = y; row < y + g->kernel_h; row++, to += channels) {
        if (row < 0 || row >= g->in.height) {
            pad(to, zero, channels, column, count);
            continue;
        }
        const int8_t *from = in + (row * g->in.width + x + inside.from) * channels;
        pad(to, zero, channels, column, inside.from);
        copy_row(to + inside.from * column, from, channels, column, inside.to - inside.from);
        pad(to + inside.to * column, zero, channels, column, count - inside.to);
    }
}

KB_KERNEL void kb_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                            const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t step = g->stride_w * p->column, channels = g->out.channels, quads = (channels + 3) / 4;
    int32_t *const sum = scratch;
    int16_t *const columns = (int16_t *)(sum + p->sums);
    for (int32_t y = r->y; y < r->y_end; y++)
        for (int32_t x = r->x; x < r->x_end; x += p->block) {
            const int32_t count = kb_min(p->block, r->x_end - x);
            int8_t *to = out + (y * g->out.width + x) * channels;
            fill(in, columns, p, y * g->stride_h - g->pad_h, x * g->stride_w - g->pad_w,
                 (count - 1) * g->stride_w + g->kernel_w);
            for (int32_t i = 0; i + 1 < count; i += 2) {
                const int16_t *const first = columns + i * step;
                if (p->taps <= CHUNK)
                    two_pixels(first, first + step, p->weight, sum, p->taps, quads, 0);
                else
                    accumulate(first, step, 2, sum, quads, p);
                if (p->quick)
                    finish_two(sum, to + i * channels, p);
                else
                    finish(sum, to + i * channels, 2, p);
            }
            if (count % 2) {
                accumulate(columns + (count - 1) * step, 0, 1, sum, quads, p);
                finish(sum, to + (count - 1) * channels, 1, p);
            }
        }
}
