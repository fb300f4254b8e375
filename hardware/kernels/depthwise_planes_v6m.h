/* SPDX-License-Identifier: Apache-2.0 */
/* int8 depthwise convolution on Armv6-M, by whose kernels it is included: a channel of a tile of the map at a time. The
   input under a tile is spread into a plane whose words hold the values that two neighbouring outputs read by the same
   tap, a + 65536 * b, so that one multiplication makes two products.

   Neighbours lie along one axis of the map and lines of outputs follow across it, as in depthwise_planes.h. Planes are
   [rows across][words along], with the zero point for padding. */
#ifndef KB_DEPTHWISE_PLANES_V6M_H
#define KB_DEPTHWISE_PLANES_V6M_H

#include "kb_depthwise.h"
#include "kb_v6m.h"

/* An axis of the map: its size; bytes from one value to the next of the input, the output and the weights; windows; and
   the tile: its outputs [from, to), and the input under them from `start` on, `extent` words or rows. */
typedef struct {
    int32_t size, in, out, weight, kernel, stride, pad, from, to, start, extent;
} axis;

/* A tile: where its input and output are for channel 0; words of a row, `stride` of them before those that are read. */
typedef struct {
    const kb_depthwise_conv2d_s8_params *p;
    axis along, across;
    int32_t *plane;
    const int8_t *in;
    int8_t *out;
    int32_t pitch;
} tile;

/* What assembly reads of the lines of outputs, each at four times its place: the first window, where the first line of
   outputs begins and ends and how far they lie from each other, and how far the next row of a window is from the end of
   one. */
typedef struct {
    const int32_t *plane;
    int8_t *out, *end;
    int32_t beside, down;
} lines;

/* After the weights: the shift to the left and the bias, the halves of the multiplier, the shift to the right, the
   offset; from the end of a window, how far the next two windows of the line are; the end of the last line; from the
   end of a line to the next one; from its end to that one's; and from the end of its last window to the first one. */
typedef struct {
    int32_t left, bias, low, high, right, offset, next;
    const int8_t *last;
    int32_t back, below, first;
} ending;

/* The outputs of channel c, from the first one on. */
static void channel(const tile *t, int32_t c, int8_t *out);

/* clang-format off */
/* Two outputs of their sums in r3 and r4 (kb_v6m.h), by the `ending` at r1, whose offset r1 is left at; then r0 is at
   the next two windows. A line may end with the first of them, at 3; the last one leaves by 4. */
#define STORE "mov r7, r11\n strb r2, [r7]\n add r7, r12\n mov r11, r7\n cmp r7, lr\n beq 3f\n"
#define OFFSET "ldr r3, [r1]\n adds r2, r2, r3\n"
#define END_OF_PAIR                                                                                                   \
    LATER "ldmia r1!, {r5, r6}\n lsls r3, r5\n lsls r4, r5\n adds r2, r3, r6\n adds r4, r4, r6\n mov r8, r4\n"       \
    "ldmia r1!, {r4, r5, r6}\n" OUTPUT(OFFSET) STORE "mov r2, r8\n" OUTPUT(OFFSET) STORE                              \
    "ldr r3, [r1, #4]\n adds r0, r0, r3\n"
#define END_OF_LINE                                                                                                   \
    "3: ldr r3, [r1, #8]\n cmp r7, r3\n beq 4f\n ldr r3, [r1, #12]\n add r11, r3\n ldr r3, [r1, #16]\n add lr, r3\n"   \
    "ldr r3, [r1, #20]\n adds r0, r0, r3\n"
#define END                                                                                                           \
    "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n"
/* clang-format on */

/* The weights of channel c to rows of `pitch` words; their sum. */
KB_INLINE int32_t spread_weights(const tile *t, int32_t c, int32_t *to, int32_t pitch)
{
    int32_t sum = 0;
    const int8_t *row = t->p->weight + c;
    KB_NO_UNROLL
    for (int32_t y = 0; y < t->across.kernel; y++, row += t->across.weight, to += pitch) {
        const int8_t *weight = row;
        KB_NO_UNROLL
        for (int32_t x = 0; x < t->along.kernel; x++, weight += t->along.weight)
            sum += to[x] = *weight;
    }
    return sum;
}

/* The numbers of channel c, whose weights have that sum and whose outputs begin at `out`; a window ends `window` words
   after it began. */
KB_INLINE ending ending_of(const tile *t, int32_t c, int32_t sum, const int8_t *out, int32_t window)
{
    const scaling s = scaling_of(t->p->channel + 3 * c, t->p->out_zero);
    const int32_t count = t->along.to - t->along.from, line = count * t->along.out, stride = t->along.stride;
    return (ending){s.left,
                    s.bias - t->p->in_zero * sum * (1 << s.left),
                    (int16_t)s.multiplier,
                    (int32_t)(((uint32_t)s.multiplier + 0x8000) >> 16),
                    s.right,
                    s.offset,
                    4 * (2 * stride - window),
                    out + (t->across.to - t->across.from - 1) * t->across.out + line,
                    t->across.out - line,
                    t->across.out,
                    4 * (t->across.stride * t->pitch - ((count - 1) & ~1) * stride - window)};
}

/* Rows of weights have `row` words. */
KB_INLINE lines lines_of(const tile *t, int8_t *out, int32_t row)
{
    return (lines){t->plane + t->along.stride, out, out + (t->along.to - t->along.from) * t->along.out, t->along.out,
                   4 * (t->pitch - row)};
}

/* Raises the outputs of a channel to `low`. */
KB_APART void clamp(const tile *t, int8_t *line)
{
    const int32_t low = t->p->low;
    for (int32_t y = t->across.from; y < t->across.to; y++, line += t->across.out) {
        int8_t *out = line;
        KB_NO_UNROLL
        for (int32_t x = t->along.from; x < t->along.to; x++, out += t->along.out)
            *out = (int8_t)kb_max(*out, low);
    }
}

/* What assembly reads of lines of input: where the values and the words of the first one begin, bytes from one word to
   the next, the zero point, bytes from one value to the next, the end of the first line, `step` twice, bytes from a
   line to the next one of input and words, and the end of the last line. */
typedef struct {
    const int8_t *from;
    int32_t *to;
    int32_t step, zero, onward;
    const int8_t *end;
    int32_t steps, line, pitch;
    const int8_t *last;
} values;

/* clang-format off */
/* Words of each value and the one before it, which is the zero point for the first; and one of the last and zero. */
KB_APART __attribute__((naked)) void spread_values(const values *v)
{
    __asm__("push {r4-r7, lr}\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4-r7}\n"
            "ldmia r0!, {r2, r3, r6, r7}\n push {r2, r3}\n ldmia r0!, {r1-r5}\n mov r8, r1\n mov r9, r2\n"
            "mov r10, r3\n mov r11, r4\n mov r12, r5\n ldr r0, [r0]\n mov lr, r0\n movs r2, #0\n"
            "1: ldr r0, [sp]\n ldr r1, [sp, #4]\n mov r4, r7\n"
            ".balign 4\n"
            "2: ldrsb r5, [r0, r2]\n lsls r3, r5, #16\n adds r3, r3, r4\n str r3, [r1]\n add r0, r8\n cmp r0, r9\n"
            "bhs 3f\n"
            "ldrsb r4, [r0, r2]\n lsls r3, r4, #16\n adds r3, r3, r5\n str r3, [r1, r6]\n add r0, r8\n add r1, r10\n"
            "cmp r0, r9\n blo 2b\n b 4f\n"
            "3: mov r4, r5\n adds r1, r1, r6\n"
            "4: lsls r3, r7, #16\n adds r3, r3, r4\n str r3, [r1]\n"
            "ldr r0, [sp]\n add r0, r11\n str r0, [sp]\n ldr r1, [sp, #4]\n add r1, r12\n str r1, [sp, #4]\n"
            "add r9, r11\n cmp r9, lr\n bls 1b\n"
            "add sp, #8\n pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n pop {r4-r7, pc}\n");
}
/* clang-format on */

/* The rows from `top` to `bottom` of the plane of a channel. The value at word `first` of the first of them is at
   `from`; words before and behind the map hold what fills up. */
KB_APART void spread(const tile *t, int32_t first, const int8_t *from, int32_t top, int32_t bottom)
{
    const axis *along = &t->along;
    const int32_t stride = along->stride, line = t->across.in;
    const int8_t *const end = from + (kb_min(along->extent + stride, along->size - along->start) - first) * along->in;
    values v = {0, 0, 4 * stride, t->p->in_zero, stride * along->in, end, 8 * stride, line, 4 * t->pitch, 0};
    v.last = end + (bottom - top - 1) * line;
    KB_NO_UNROLL
    for (int32_t phase = 0; phase < stride; phase++) {
        int32_t i = phase - first;
        while (i < 0)
            i += stride;
        v.from = from + i * along->in;
        v.to = t->plane + first + i + top * t->pitch;
        KB_STORED(&v);
        if (v.from < end)
            spread_values(&v);
    }
}

KB_APART void make(tile *t)
{
    const axis *along = &t->along, *across = &t->across;
    const int32_t zero = t->p->in_zero, first = kb_max(-along->start, 0), top = kb_max(-across->start, 0);
    const int32_t bottom = kb_min(across->extent, across->size - across->start);
    const int8_t *in = t->in + (across->start + top) * across->in + (along->start + first) * along->in;
    int8_t *out = t->out + across->from * across->out + along->from * along->out;
    KB_NO_UNROLL
    for (int32_t i = 0; i < t->pitch * across->extent; i++)
        t->plane[i] = zero + zero * 65536;
    KB_NO_UNROLL
    for (int32_t c = 0; c < t->p->window.in.channels; c++, in++, out++) {
        spread(t, first, in, top, bottom);
        channel(t, c, out);
        if (t->p->low > -128)
            clamp(t, out);
    }
}

/* Words along under so many outputs, and rows across. */
KB_INLINE int32_t words_under(const axis *along, int32_t outputs)
{
    return ((outputs - 1) & ~1) * along->stride + along->kernel;
}

KB_INLINE int32_t rows_under(const axis *across, int32_t outputs)
{
    return (outputs - 1) * across->stride + across->kernel;
}

/* All tiles. A line costs some 40 cycles besides its outputs: where the whole map is one tile, neighbours lie along its
   longer axis, if that plane fits into the memory that is there for those of the plan (ops/_depthwise.py). */
KB_INLINE void by_tiles(const int8_t *in, int8_t *out, int32_t *plane, const kb_depthwise_conv2d_s8_params *p,
                        const kb_region *r)
{
    const kb_window *g = &p->window;
    const int32_t channels = g->in.channels, line = g->in.width * channels, out_line = g->out.width * channels;
    const axis columns = {g->in.width, channels, channels, channels, g->kernel_w, g->stride_w, g->pad_w, 0, 0, 0, 0};
    const axis rows = {
        g->in.height, line, out_line, g->kernel_w * channels, g->kernel_h, g->stride_h, g->pad_h, 0, 0, 0, 0};
    kb_range wide = {r->x, r->x_end}, high = {r->y, r->y_end};
    axis along = columns, across = rows;
    if (p->turned)
        along = rows, across = columns, wide = (kb_range){r->y, r->y_end}, high = (kb_range){r->x, r->x_end};
    int32_t width = p->along, height = p->across;
    const int32_t made = wide.to - wide.from, others = high.to - high.from;
    const int32_t planned = 4 * (((width - 1) * along.stride + along.kernel + 1) / 2) * rows_under(&across, height);
    if (made < others && made <= width && others <= height &&
        (words_under(&across, others) + across.stride) * rows_under(&along, made) + across.stride <= planned) {
        const axis other = across;
        const kb_range low = wide;
        across = along, along = other, wide = high, high = low, width = others, height = made;
    }
    for (across.from = high.from; across.from < high.to; across.from = across.to) {
        across.to = kb_min(across.from + height, high.to);
        across.start = across.from * across.stride - across.pad;
        across.extent = rows_under(&across, across.to - across.from);
        for (along.from = wide.from; along.from < wide.to; along.from = along.to) {
            along.to = kb_min(along.from + width, wide.to);
            along.start = along.from * along.stride - along.pad;
            along.extent = words_under(&along, along.to - along.from);
            tile t = {p, along, across, plane, in, out, along.extent + along.stride};
            make(&t);
        }
    }
}

#endif
