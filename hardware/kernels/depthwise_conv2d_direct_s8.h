/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution of kernels of 3 x 3 whose windows share little, as with a stride of 3 or on small maps, by
   whose kernels it is included; with KB_TWICE before, results are rounded twice. On cores with the DSP extension the
   input is read from where it lies: four channels of a pixel at a time, and of many pixels before the next four are, so
   that their weights are spread to 16 bits once. Other cores make it pixel by pixel. */
#ifndef KB_DEPTHWISE_CONV2D_DIRECT_S8_H
#define KB_DEPTHWISE_CONV2D_DIRECT_S8_H

#ifdef __ARM_FEATURE_DSP
#include "kb_depthwise.h"
#include "kb_dsp.h"

#define QUAD 4

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* A row of taps of four channels: pairs (w0, w1) of each; then w2 of channels 0 and 2, and of 1 and 3. The kernel's
   three rows are there thrice: a window that would reach beyond the map by a column to the left or the right is moved
   to lie inside, and its weights are moved the other way. So they are (0, w0, w1), (w0, w1, w2) and (w1, w2, 0). */
typedef struct {
    uint32_t pair[QUAD], third[2];
} row_weights;

/* Of an output: the weights of its first row that lies in the map, the input there, how many bytes of code to skip,
   which are for the rows that do not, and its place; input and output of channel 0. */
typedef struct {
    const row_weights *w;
    const int8_t *x;
    int32_t skip;
    int8_t *out;
} job;

typedef struct {
    int32_t multiplier, offset, right;
} numbers;

/* What `make` reads. */
typedef struct {
    uint32_t minus_zero; /* the input's zero point, negative and twice */
    int32_t step, line; /* from one pixel of the input to the next, and to that below */
    numbers numbers[QUAD];
    int32_t bias[QUAD];
    const job *jobs; /* 16 behind the bias */
    uint32_t lows; /* the least output, four times */
    int32_t c;
    const job *end;
} quad;

/* clang-format off */
/* Three taps, of ROW_BYTES. The weights are at r1, and go on. */
#define ROW                                                                                                           \
    "ldr.w r10, [r0]\n ldr.w r11, [r0, r9]\n pkhbt r12, r10, r11, lsl #16\n pkhtb r11, r11, r10, asr #16\n"           \
    "sxtab16 r10, r8, r12\n sxtab16 r12, r8, r12, ror #8\n ldm.w r1!, {r3, lr}\n"                                     \
    "smlad r4, r10, r3, r4\n smlad r5, r12, lr, r5\n"                                                                 \
    "sxtab16 r10, r8, r11\n sxtab16 r11, r8, r11, ror #8\n ldm.w r1!, {r3, lr}\n"                                     \
    "smlad r6, r10, r3, r6\n smlad r7, r11, lr, r7\n ldr.w r12, [r0, r9, lsl #1]\n add.w r0, r0, r2\n"                \
    "sxtab16 r11, r8, r12\n sxtab16 r12, r8, r12, ror #8\n ldm.w r1!, {r3, lr}\n"                                     \
    "smlabb r4, r11, r3, r4\n smlatt r6, r11, r3, r6\n smlabb r5, r12, lr, r5\n smlatt r7, r12, lr, r7\n"
#define ROW_BYTES 92
#ifdef KB_TWICE
#define SCALE(sum, multiplier, offset)                                                                                \
    "add.w " offset ", " offset ", " sum ", asr #31\n lsl.w " sum ", " sum ", #1\n"                                   \
    "smmlar " sum ", " sum ", " multiplier ", " offset "\n"
#else
#define SCALE(sum, multiplier, offset) "smmla " sum ", " sum ", " multiplier ", " offset "\n"
#endif
#define FINISH(sum, multiplier, offset, right)                                                                        \
    SCALE(sum, multiplier, offset) "asr.w " sum ", " sum ", " right "\n ssat " sum ", #8, " sum "\n"
#define FINISH_2(a, b)                                                                                                \
    "ldm.w lr!, {r0, r1, r3, r10, r11, r12}\n" FINISH(a, "r0", "r1", "r3") FINISH(b, "r10", "r11", "r12")

/* All jobs. lr is at the bias where one begins, r0 at the job, and r10 is c; the numbers are at [sp]. */
KB_APART __attribute__((naked)) void make(quad *q)
{
    __asm__("push {r4-r11, lr}\n ldm.w r0!, {r8, r9}\n ldm.w r0!, {r2}\n push {r0}\n"
            "add.w lr, r0, #48\n ldr r0, [r0, #64]\n ldr.w r10, [lr, #24]\n"
            ".balign 4\n"
            "1: ldm.w r0, {r1, r3, r12}\n ldm.w lr, {r4-r7}\n add.w r0, r3, r10\n add pc, r12\n nop\n"
            ROW ROW ROW
            "ldr.w lr, [sp]\n" FINISH_2("r4", "r5") FINISH_2("r6", "r7")
            "bfi r4, r5, #8, #8\n bfi r4, r6, #16, #8\n bfi r4, r7, #24, #8\n"
            "ldr.w r0, [lr, #16]\n ldr.w r1, [lr, #20]\n ldr.w r10, [lr, #24]\n ldr.w r11, [lr, #28]\n ldr.w r3, [r0, #12]\n"
            "add.w r0, r0, #16\n ssub8 r5, r4, r1\n sel r4, r4, r1\n str.w r4, [r3, r10]\n str.w r0, [lr, #16]\n"
            "cmp.w r0, r11\n bne.w 1b\n"
            "add sp, #4\n pop {r4-r11, pc}\n");
}
/* clang-format on */

#ifdef KB_TWICE
/* With two roundings all sums are doubled, which SCALE does. */
#define DOUBLED 1

KB_INLINE void shift(const int32_t *channel, row_weights *to)
{
    (void)channel, (void)to;
}
#else
#define DOUBLED 0

/* Shifts the products of all rows to the left. */
static KB_RARE void shift_rows(const int32_t *channel, row_weights *to)
{
    for (int32_t i = 0; i < 9 * QUAD; i++) {
        const int32_t j = i % QUAD, left = channel[3 * j + 2] >> 8;
        const uint32_t half = j < 2 ? 0xFFFF : 0xFFFF0000;
        row_weights *const row = to + i / QUAD;
        uint32_t *const third = row->third + j % 2;
        row->pair[j] = kb_shift16(row->pair[j], left);
        *third = (*third & ~half) | (kb_shift16(*third, left) & half);
    }
}

KB_INLINE void shift(const int32_t *channel, row_weights *to)
{
    if ((channel[2] | channel[5] | channel[8] | channel[11]) >= 256)
        shift_rows(channel, to);
}
#endif

/* Of three weights of four channels. */
KB_INLINE void spread(row_weights *to, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t low = (a & 0xFFFF) | b << 16, high = a >> 16 | (b & 0xFFFF0000);
    to->pair[0] = kb_sxtb16(low);
    to->pair[1] = kb_sxtb16_odd(low);
    to->pair[2] = kb_sxtb16(high);
    to->pair[3] = kb_sxtb16_odd(high);
    to->third[0] = kb_sxtb16(c);
    to->third[1] = kb_sxtb16_odd(c);
}

/* All channels of the outputs [jobs, end). */
KB_APART void make_jobs(const kb_depthwise_conv2d_s8_params *p, const job *jobs, const job *end, row_weights *own)
{
    const int32_t channels = p->window.in.channels, last = channels - QUAD;
    const uint32_t minus_zero = (uint32_t)-p->in_zero & 0xFFFF;
    quad q = {.minus_zero = minus_zero << 16 | minus_zero,
              .step = channels,
              .line = p->window.in.width * channels,
              .lows = ((uint32_t)p->low & 0xFF) * 0x01010101,
              .end = end};
    for (int32_t next = 0; next < channels; next += QUAD) {
        const int32_t c = kb_min(next, last);
        const int32_t *const channel = p->channel + 3 * c;
        KB_NO_UNROLL
        for (int32_t i = 0; i < QUAD; i++) {
            const scaling s = scaling_of(channel + 3 * i, p->out_zero);
            q.bias[i] = s.bias >> DOUBLED;
            q.numbers[i] = (numbers){s.multiplier, s.offset, s.right};
        }
        const int8_t *w = p->weight + c;
        KB_NO_UNROLL
        for (row_weights *to = own; to < own + 3; to++, w += 3 * channels) {
            const uint32_t a = kb_load4(w), b = kb_load4(w + channels), third = kb_load4(w + 2 * channels);
            spread(to, 0, a, b);
            spread(to + 3, a, b, third);
            spread(to + 6, b, third, 0);
        }
        shift(channel, own);
        q.jobs = jobs;
        q.c = c;
        KB_STORED(own);
        KB_STORED(&q);
        make(&q);
    }
}

KB_INLINE void direct(const int8_t *in, int8_t *out, void *scratch, const kb_depthwise_conv2d_s8_params *p,
                      const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, inside = g->in.width - 3, across = r->x * g->stride_w - g->pad_w;
    row_weights *const own = scratch;
    job *const jobs = (job *)(own + 9), *const end = jobs + KB_DEPTHWISE_JOBS, *next = jobs;
    for (int32_t y = r->y; y < r->y_end; y++) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, 3, g->in.height);
        const row_weights *const first = own + 3 + row.from;
        const int8_t *const line = in + (row.start + row.from) * g->in.width * channels;
        const int32_t skip = (3 - row.to + row.from) * ROW_BYTES;
        int8_t *to = out + (y * g->out.width + r->x) * channels;
        for (int32_t x = r->x, start = across; x < r->x_end; x++, start += g->stride_w, to += channels) {
            const int32_t from = kb_min(kb_max(start, 0), inside), moved = from - start;
            if (next == end) {
                make_jobs(p, jobs, end, own);
                next = jobs;
            }
            *next++ = (job){first + 3 * moved, line + from * channels, skip, to};
        }
    }
    make_jobs(p, jobs, next, own);
}

#define CONVOLVE(in, out, scratch, p, r) direct(in, out, scratch, p, r)
#else
#include "depthwise_conv2d_s8.h"

#define CONVOLVE(in, out, scratch, p, r)                                                                               \
    ((void)(scratch), convolve(in, out, p, r, p->window.in.channels, 0, p->window.in.channels))
#endif

#endif
