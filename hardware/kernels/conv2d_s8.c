/* int8 convolution.

   Columns of the input (all kernel rows of one x, all channels) are expanded to 16 bits once per block of output pixels; a
   pixel's taps are then consecutive, and neighbouring pixels share columns. Padding is the zero point; the bias holds
   -in_zero * sum(weights).

   The weights of two output channels share a half word, 256 * w1 + w0, so that one multiplication serves both: with
   s = sum x * (256 * w1 + w0) and b = sum x * w0, the sum of channel 1 is (s - b) / 256, exact in 24 bits over CHUNK taps.
   Weights: [quads of output channels][taps / 2][pairs of the quad][2].
   Sums: [quads][pairs of the quad][second and first channel][pixels]. */
#include "kb_inline.h"

enum { CHUNK = 512 };

/* Sums of one chunk of taps for all quads: of the pixels x and y, or of x alone. The weights of a quad end `skip` bytes
   before those of the next begin. `taps` is a multiple of 4. */
static void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads,
                       int32_t skip);
static void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps, int32_t quads, int32_t skip);

#if defined(__ARM_FEATURE_DSP)
/* Two taps of two pixels (in r12 and lr) with one pair. */
#define PAIR(s0, s1, b0, b1)                                                                                          \
    "smlad " s0 ", r3, r12, " s0 "\n smlad " s1 ", r3, lr, " s1 "\n sxtb16 r3, r3\n"                                  \
    "smlad " b0 ", r3, r12, " b0 "\n smlad " b1 ", r3, lr, " b1 "\n"
#define STEP                                                                                                          \
    "ldr r12, [r0], #4\n ldr lr, [r1], #4\n ldr r3, [r2], #4\n" PAIR("r4", "r5", "r6", "r7")                          \
    "ldr r3, [r2], #4\n" PAIR("r8", "r9", "r10", "r11")

/* 56 bytes a step: the first turn of the loop of eight steps is entered where what is left over begins. */
static KB_KERNEL __attribute__((naked, noinline)) void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w,
                                                                  int32_t *sum, int32_t taps, int32_t quads,
                                                                  int32_t skip)
{
    __asm__("push {r4-r11, lr}\n sub sp, #12\n str r3, [sp]\n" /* at 48, 52, 56: taps, quads, skip */
            "1: ldr r3, [sp, #48]\n add r12, r2, r3, lsl #2\n str r12, [sp, #4]\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n"
            "ubfx r3, r3, #1, #3\n cbz r3, 2f\n rsb r3, r3, #8\n rsb r3, r3, r3, lsl #3\n"
            "adr r12, 2f\n add r12, r12, r3, lsl #3\n orr r12, r12, #1\n bx r12\n"
            ".balign 4\n"
            "2:\n" STEP STEP STEP STEP STEP STEP STEP STEP "ldr r3, [sp, #4]\n cmp r2, r3\n bne.w 2b\n"
            "subs r4, r4, r6\n subs r5, r5, r7\n sub r8, r8, r10\n sub r9, r9, r11\n"
            "asrs r4, r4, #8\n asrs r5, r5, #8\n asr r8, r8, #8\n asr r9, r9, #8\n"
            "ldr r3, [sp]\n stmia r3!, {r4-r11}\n str r3, [sp]\n"
            "ldr r3, [sp, #48]\n ldr r4, [sp, #56]\n ldr r5, [sp, #52]\n"
            "sub r0, r0, r3, lsl #1\n sub r1, r1, r3, lsl #1\n add r2, r4\n subs r5, #1\n str r5, [sp, #52]\n bne.w 1b\n"
            "add sp, #12\n pop {r4-r11, pc}\n");
}

static KB_NOINLINE KB_KERNEL void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps,
                                            int32_t quads, int32_t skip)
{
    for (; quads > 0; quads--, sum += 4, w += skip / 2) {
        const int16_t *at = x, *const end = w + 2 * taps;
        int32_t s0 = 0, s1 = 0, b0 = 0, b1 = 0, p, q, r, t, u, v;
        __asm__(".balign 4\n"
                "1: ldr %[p], [%[w]], #16\n ldr %[u], [%[x]], #8\n ldr %[q], [%[w], #-12]\n ldr %[r], [%[w], #-8]\n"
                "ldr %[t], [%[w], #-4]\n ldr %[v], [%[x], #-4]\n"
                "smlad %[s0], %[p], %[u], %[s0]\n smlad %[s1], %[q], %[u], %[s1]\n"
                "sxtb16 %[p], %[p]\n sxtb16 %[q], %[q]\n"
                "smlad %[b0], %[p], %[u], %[b0]\n smlad %[b1], %[q], %[u], %[b1]\n"
                "smlad %[s0], %[r], %[v], %[s0]\n smlad %[s1], %[t], %[v], %[s1]\n"
                "sxtb16 %[r], %[r]\n sxtb16 %[t], %[t]\n"
                "smlad %[b0], %[r], %[v], %[b0]\n smlad %[b1], %[t], %[v], %[b1]\n"
                "cmp %[w], %[end]\n bne 1b\n"
                : [s0] "+r"(s0), [s1] "+r"(s1), [b0] "+r"(b0), [b1] "+r"(b1), [w] "+r"(w), [x] "+r"(at), [p] "=&r"(p),
                  [q] "=&r"(q), [r] "=&r"(r), [t] "=&r"(t), [u] "=&r"(u), [v] "=&r"(v)
                : [end] "r"(end)
                : "memory", "cc");
        sum[0] = (s0 - b0) >> 8, sum[1] = b0, sum[2] = (s1 - b1) >> 8, sum[3] = b1;
    }
}
#else
KB_INLINE int32_t second(uint32_t both, uint32_t first)
{
    return (int32_t)(both - first) >> 8;
}

/* One pair of a quad. */
KB_INLINE void two_pixels_pair(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum, int32_t taps)
{
    uint32_t s0 = 0, s1 = 0, b0 = 0, b1 = 0;
    for (int32_t i = 0; i < taps; i++) {
        const int32_t both = w[i / 2 * 4 + i % 2], first = (int8_t)both;
        s0 += (uint32_t)(x[i] * both), b0 += (uint32_t)(x[i] * first);
        s1 += (uint32_t)(y[i] * both), b1 += (uint32_t)(y[i] * first);
    }
    sum[0] = second(s0, b0), sum[1] = second(s1, b1), sum[2] = (int32_t)b0, sum[3] = (int32_t)b1;
}

static KB_NOINLINE KB_KERNEL void two_pixels(const int16_t *x, const int16_t *y, const int16_t *w, int32_t *sum,
                                             int32_t taps, int32_t quads, int32_t skip)
{
    for (; quads > 0; quads--, sum += 8, w += 2 * taps + skip / 2) {
        two_pixels_pair(x, y, w, sum, taps);
        two_pixels_pair(x, y, w + 2, sum + 4, taps);
    }
}

static KB_NOINLINE KB_KERNEL void one_pixel(const int16_t *x, const int16_t *w, int32_t *sum, int32_t taps,
                                            int32_t quads, int32_t skip)
{
    for (; quads > 0; quads--, sum += 4, w += 2 * taps + skip / 2) {
        uint32_t s0 = 0, s1 = 0, b0 = 0, b1 = 0;
        for (int32_t i = 0; i < taps; i++) {
            const int32_t v0 = w[i / 2 * 4 + i % 2], v1 = w[i / 2 * 4 + i % 2 + 2];
            s0 += (uint32_t)(x[i] * v0), b0 += (uint32_t)(x[i] * (int8_t)v0);
            s1 += (uint32_t)(x[i] * v1), b1 += (uint32_t)(x[i] * (int8_t)v1);
        }
        sum[0] = second(s0, b0), sum[1] = (int32_t)b0, sum[2] = second(s1, b1), sum[3] = (int32_t)b1;
    }
}
#endif

/* All sums of `pixels` pixels, 1 or 2, the second `step` halves after the first. */
KB_INLINE void accumulate(const int16_t *x, int32_t step, int32_t pixels, int32_t *sum, const kb_conv2d_s8_params *p)
{
    const int32_t quads = (p->window.out.channels + 3) / 4, count = 4 * pixels * quads;
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

/* Outputs of `pixels` pixels, 1 or 2. */
KB_INLINE void finish(const int32_t *sum, int8_t *out, int32_t pixels, const kb_conv2d_s8_params *p)
{
    const int32_t channels = p->window.out.channels, zero = p->out_zero, low = p->low;
    const int32_t *channel = p->channel;
    for (int32_t o = 0; o < channels; o++, channel += 3, out++) {
        const int32_t *s = sum + (o / 2 * 2 + 1 - o % 2) * pixels;
        const int32_t bias = channel[0], multiplier = channel[1], shift = channel[2];
        out[0] = kb_saturate(kb_requantise(s[0] + bias, multiplier, shift), zero, low);
        if (pixels == 2)
            out[channels] = kb_saturate(kb_requantise(s[1] + bias, multiplier, shift), zero, low);
    }
}

static KB_NOINLINE void make_two(const int16_t *x, int32_t step, int32_t *sum, int8_t *out, const kb_conv2d_s8_params *p)
{
    accumulate(x, step, 2, sum, p);
    finish(sum, out, 2, p);
}

static KB_NOINLINE void make_one(const int16_t *x, int32_t *sum, int8_t *out, const kb_conv2d_s8_params *p)
{
    accumulate(x, 0, 1, sum, p);
    finish(sum, out, 1, p);
}

/* `count` values to 16 bits. */
KB_INLINE int16_t *expand(int16_t *to, const int8_t *from, int32_t count)
{
    int32_t i = 0;
#ifdef __ARM_FEATURE_DSP
    typedef struct __attribute__((packed, may_alias)) {
        uint32_t bytes;
    } any_word;
    typedef uint32_t __attribute__((may_alias)) halves;
    for (halves *pair = (halves *)to; i + 4 <= count; i += 4, pair += 2) {
        uint32_t even, odd;
        __asm__("sxtb16 %0, %1" : "=r"(even) : "r"(((const any_word *)(from + i))->bytes));
        __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(((const any_word *)(from + i))->bytes));
        __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair[0]) : "r"(even), "r"(odd));
        __asm__("pkhtb %0, %2, %1, asr #16" : "=r"(pair[1]) : "r"(even), "r"(odd));
    }
#endif
    for (; i < count; i++)
        to[i] = from[i];
    return to + count;
}

KB_INLINE int16_t *pad(int16_t *to, int32_t value, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        to[i] = (int16_t)value;
    return to + count;
}

/* `count` columns from x on, rows y on. */
static KB_NOINLINE KB_KERNEL void fill(const int8_t *in, int16_t *to, const kb_conv2d_s8_params *p, int32_t y, int32_t x,
                                       int32_t count)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, tail = p->column - g->kernel_h * channels;
    const kb_span row = kb_clip(y, g->kernel_h, g->in.height);
    for (int32_t i = x; i < x + count; i++) {
        if (i < 0 || i >= g->in.width) {
            to = pad(to, p->in_zero, p->column);
            continue;
        }
        const int8_t *from = in + ((y + row.from) * g->in.width + i) * channels;
        to = pad(to, p->in_zero, row.from * channels);
        for (int32_t ky = row.from; ky < row.to; ky++) {
            to = expand(to, from, channels);
            from += g->in.width * channels;
        }
        to = pad(to, p->in_zero, (g->kernel_h - row.to) * channels + tail);
    }
}

KB_KERNEL void kb_conv2d_s8(const int8_t *in, int8_t *out, void *scratch, const kb_conv2d_s8_params *p,
                            const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t step = g->stride_w * p->column, channels = g->out.channels;
    int32_t *const sum = scratch;
    int16_t *const columns = (int16_t *)(sum + p->sums);
    for (int32_t y = r->y; y < r->y_end; y++)
        for (int32_t x = r->x; x < r->x_end; x += p->block) {
            const int32_t count = kb_min(p->block, r->x_end - x);
            int8_t *to = out + (y * g->out.width + x) * channels;
            fill(in, columns, p, y * g->stride_h - g->pad_h, x * g->stride_w - g->pad_w,
                 (count - 1) * g->stride_w + g->kernel_w);
            for (int32_t i = 0; i + 1 < count; i += 2)
                make_two(columns + i * step, step, sum, to + i * channels, p);
            if (count % 2)
                make_one(columns + (count - 1) * step, sum, to + (count - 1) * channels, p);
        }
}
