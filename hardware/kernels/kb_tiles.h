/* SPDX-License-Identifier: Apache-2.0 */
/* Float convolutions go over the map in tiles: KB_TILE pixels, side by side or one above the other, that read the same
   taps of the kernel, so that one load of a weight serves them all. What is left over are tiles of one pixel.
   The order of every sum is fixed: rows, columns, channels, then the bias. */
#ifndef KB_TILES_H
#define KB_TILES_H

#include "kb_inline.h"
#include <stddef.h>

#define KB_TILE 4

/* What a tile reads and makes; distances are in floats. */
typedef struct {
    const float *x, *w;       /* the first pixel's first tap inside the map, and its weight */
    const float *bias;
    float *out;
    int32_t pitch, out_pitch; /* from one pixel to the next */
    int32_t rows, columns;    /* taps inside the map */
    int32_t channels, taps;   /* of the map: of one tap, of a row of them */
    int32_t next_x, next_w;   /* from the end of a row of taps to the start of the next one */
    int32_t relu;
} kb_tile;

typedef void (*kb_tile_function)(kb_tile *t, const void *p);

/* Calls `four` and `one` for all tiles of a region. A tap has `depth` weights that lie side by side. */
KB_INLINE void kb_for_tiles(const float *in, float *out, const float *weight, const kb_window *g, const kb_region *r,
                            int32_t depth, kb_tile_function four, kb_tile_function one, const void *p)
{
    const int32_t channels = g->in.channels;
    int32_t width = g->in.width, x_end = r->x_end, y_end = r->y_end, high, wide;
    const int same = width == g->out.width && g->in.height == g->out.height && width == x_end - r->x;
    if (same && g->kernel_h * g->kernel_w * g->stride_h * g->stride_w == 1) { /* all rows are one */
        width *= y_end - r->y;
        x_end = width;
        y_end = r->y + 1;
    }
    for (int32_t y = r->y; y < y_end; y += high) {
        const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
        const int32_t lowest = row.start + (KB_TILE - 1) * g->stride_h + g->kernel_h;
        high = row.start >= 0 && lowest <= g->in.height && y + KB_TILE <= y_end ? KB_TILE : 1;
        for (int32_t x = r->x; x < x_end; x += wide) {
            const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, width);
            const int32_t last = column.start + (KB_TILE - 1) * g->stride_w + g->kernel_w;
            const int inside = column.start >= 0 && last <= width && x + KB_TILE <= x_end;
            kb_tile t;
            t.rows = row.to - row.from;
            t.columns = column.to - column.from;
            if (t.columns == width && t.columns == g->kernel_w) { /* taps without gaps are one row */
                t.columns *= t.rows;
                t.rows = 1;
            }
            t.channels = channels;
            t.taps = t.columns * channels;
            t.next_x = (width - (column.to - column.from)) * channels;
            t.next_w = (g->kernel_w - (column.to - column.from)) * depth;
            t.x = in + ((row.start + row.from) * g->in.width + column.start + column.from) * channels;
            t.w = weight + (row.from * g->kernel_w + column.from) * depth;
            t.out = out + (y * g->out.width + x) * g->out.channels;
            t.pitch = g->stride_w * channels;
            t.out_pitch = g->out.channels;
            if (high > 1) {
                t.pitch = g->stride_h * width * channels;
                t.out_pitch *= g->out.width;
            }
            wide = high == 1 && inside ? KB_TILE : 1;
            (high * wide > 1 ? four : one)(&t, p);
        }
    }
}

#if defined(__thumb2__) && defined(__ARM_FP)
/* clang-format off */
/* Assembly. The sums of pixel i are in s[4 i] to s[4 i + 3]. Operands: t, the tile; x, x1, x2, x3, w, n, rows, which lose
   their values at the end. */
#define KB_AT(member) [member] "i"(offsetof(kb_tile, member))
#define KB_CLEAR_ONE "movs %[n], #0\n vmov s0, s1, %[n], %[n]\n vmov s2, s3, %[n], %[n]\n"
#define KB_CLEAR_FOUR                                                                                                  \
    KB_CLEAR_ONE "vmov s4, s5, %[n], %[n]\n vmov s6, s7, %[n], %[n]\n vmov s8, s9, %[n], %[n]\n"                       \
    "vmov s10, s11, %[n], %[n]\n vmov s12, s13, %[n], %[n]\n vmov s14, s15, %[n], %[n]\n"
#define KB_ADD4(a0, a1, a2, a3, b0, b1, b2, b3)                                                                        \
    "vadd.f32 s" #a0 ", s" #a0 ", s" #b0 "\n vadd.f32 s" #a1 ", s" #a1 ", s" #b1 "\n"                                  \
    "vadd.f32 s" #a2 ", s" #a2 ", s" #b2 "\n vadd.f32 s" #a3 ", s" #a3 ", s" #b3 "\n"
#define KB_ADD_BIAS(a0, a1, a2, a3) KB_ADD4(a0, a1, a2, a3, 16, 17, 18, 19)
#define KB_STORE(a0, a1, a2, a3)                                                                                       \
    "vstmia %[x], {s" #a0 "-s" #a3 "}\n add.w %[x], %[x], %[x1], lsl #2\n"
#define KB_STORE_RELU(a0, a1, a2, a3)                                                                                  \
    "vmov %[x2], s" #a0 "\n vmov %[x3], s" #a1 "\n vmov %[w], s" #a2 "\n vmov %[n], s" #a3 "\n"                        \
    "bic.w %[x2], %[x2], %[x2], asr #31\n bic.w %[x3], %[x3], %[x3], asr #31\n"                                        \
    "bic.w %[w], %[w], %[w], asr #31\n bic.w %[n], %[n], %[n], asr #31\n"                                              \
    "str.w %[x2], [%[x]]\n str.w %[x3], [%[x], #4]\n str.w %[w], [%[x], #8]\n str.w %[n], [%[x], #12]\n"               \
    "add.w %[x], %[x], %[x1], lsl #2\n"
/* Bias, ReLU, output. */
#define KB_END(ADD_BIAS, STORE, STORE_RELU)                                                                            \
    "ldr.w %[n], [%[t], %[bias]]\n ldr.w %[x], [%[t], %[out]]\n"                                                       \
    "ldr.w %[x1], [%[t], %[out_pitch]]\n ldr.w %[rows], [%[t], %[relu]]\n"                                             \
    "vldmia %[n], {s16-s19}\n" ADD_BIAS                                                                                \
    "cbnz %[rows], 8f\n" STORE "b 9f\n"                                                                                \
    "8:\n" STORE_RELU "9:\n"
#define KB_END_ONE KB_END(KB_ADD_BIAS(0, 1, 2, 3), KB_STORE(0, 1, 2, 3), KB_STORE_RELU(0, 1, 2, 3))
#define KB_END_FOUR                                                                                                    \
    KB_END(KB_ADD_BIAS(0, 1, 2, 3) KB_ADD_BIAS(4, 5, 6, 7) KB_ADD_BIAS(8, 9, 10, 11) KB_ADD_BIAS(12, 13, 14, 15),      \
           KB_STORE(0, 1, 2, 3) KB_STORE(4, 5, 6, 7) KB_STORE(8, 9, 10, 11) KB_STORE(12, 13, 14, 15),                  \
           KB_STORE_RELU(0, 1, 2, 3) KB_STORE_RELU(4, 5, 6, 7) KB_STORE_RELU(8, 9, 10, 11)                             \
           KB_STORE_RELU(12, 13, 14, 15))
#define KB_REGISTERS                                                                                                   \
    [x] "+r"(x), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3), [w] "+r"(w), [n] "=&r"(n), [rows] "+l"(rows)
#define KB_MEMBERS                                                                                                     \
    [t] "r"(t), KB_AT(bias), KB_AT(out), KB_AT(out_pitch), KB_AT(relu), KB_AT(columns), KB_AT(taps), KB_AT(next_x),    \
    KB_AT(next_w)
#define KB_CLOBBERED                                                                                                   \
    "cc", "memory", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14",     \
    "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30",    \
    "s31"
/* clang-format on */
#endif

#endif
