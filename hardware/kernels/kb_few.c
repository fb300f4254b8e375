/* SPDX-License-Identifier: Apache-2.0 */
/* Words are counted by carry-save adders, a bit of each at a time, and by pairs: two adders in a row, of z and the
   pairs (a, b) and (c, d), take from a pair no more than G = a ^ z and P = a ^ b, where z is the exclusive or of all
   words before, and give their two carries as such a pair again. So what lies in memory, of windows and weights alike,
   is G and P of each pair: the exclusive or of both is that of the words that are counted. */
#include "kb_few.h"

#define CHUNK KB_FEW_CHUNK
#define SHORT KB_FEW_SHORT
#if CHUNK != 18 || SHORT != 10
#error "sums_of counts 4 or 2 blocks of 4 words and a pair"
#endif

void kb_few_begin(kb_few *f, const kb_window *g, const uint32_t *weight, void *scratch)
{
    f->window = g;
    f->weight = weight;
    f->words = scratch;
    f->pixel = kb_words(g->in.channels);
    f->row = g->kernel_w * f->pixel;
    f->in_row = g->in.width * f->pixel;
    f->count = g->kernel_h * f->row;
    f->filled = f->count / CHUNK * CHUNK;
    if (f->filled < f->count)
        f->filled += f->count - f->filled > SHORT ? CHUNK : SHORT;
    for (int32_t i = f->count; i < f->filled; i++)
        f->words[i] = 0;
    f->rows = kb_bits_cases_of(g->out.height, g->in.height, g->kernel_h, g->stride_h, g->pad_h);
    f->columns = kb_bits_cases_of(g->out.width, g->in.width, g->kernel_w, g->stride_w, g->pad_w);
}

void kb_few_row(kb_few *f, const uint32_t *in, int32_t y)
{
    const kb_window *g = f->window;
    const kb_span row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
    f->from = in + (row.start + row.from) * f->in_row;
    f->to = f->words + row.from * f->row;
    f->rows_inside = row.to - row.from;
    f->first_place = kb_bits_case(&f->rows, y) * f->columns.count;
}

#ifdef __ARM_FEATURE_DSP
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
/* G and P of a pair of a block in `g` and `p`: of the window those at `at`, of the weights, from r0 on, the next ones. */
#define PAIR(at, at_p, g, p, a, b)                                                                                    \
    "ldr.w " g ", [sp, #" at "]\n ldr.w " p ", [sp, #" at_p "]\n ldr.w " a ", [r0], #8\n ldr " b ", [r0, #-4]\n"    \
    "eor.w " g ", " g ", " a "\n eor.w " p ", " p ", " b "\n"
/* The first adder: z becomes the sum, and p what its carry differs in from it. */
#define FIRST(z, g, p) "eor.w " z ", " z ", " p "\n orr.w " p ", " p ", " g "\n"
/* The second one: z becomes the sum; `carry`, and `first` of before, those of the pair of carries. */
#define SECOND(z, first, g, p, carry)                                                                                 \
    "bic.w " g ", " g ", " p "\n eor.w " carry ", " first ", " z "\n eor.w " first ", " first ", " g "\n"             \
    "eor.w " z ", " z ", " p "\n"
/* The same of words a of pairs (a, P). */
#define FIRST_OF(z, a, p) "eor.w " a ", " a ", " z "\n" FIRST(z, a, p)
#define SECOND_OF(z, first, a, p, carry) "eor.w " a ", " a ", " z "\n" SECOND(z, first, a, p, carry)
/* Fields of 2 bits, of 4, and of 8 become the counts of the bits, or the sums of the two halves, in them. */
#define TWOS(x, t) "and.w " t ", " x ", #0xaaaaaaaa\n sub.w " x ", " x ", " t ", lsr #1\n"
#define FOURS(x, t) "bic.w " t ", " x ", #0x33333333\n and.w " x ", " x ", #0x33333333\n add.w " x ", " x ", " t ", lsr #2\n"
#define EIGHTS(x, t) "bic.w " t ", " x ", #0x0f0f0f0f\n and.w " x ", " x ", #0x0f0f0f0f\n add.w " x ", " x ", " t ", lsr #4\n"

/* Add the bits that agree in a chunk: a pair of words, and 4 or 2 blocks of 4. Signs come in from above, and `last` is
   the bit that leaves with that of the last channel. Ones are in r5, twos in r4, and in r6 and r7 the pair of carries of
   blocks 1 and 2, which a short chunk lacks. Words with 16 are rare. From the stack pointer on there are: the number of
   blocks, the pair, blocks from the last one to the first. */
KB_APART __attribute__((naked)) uint32_t sums_of(const uint32_t *weight, const uint32_t *from, uint32_t *sums,
                                                 uint32_t last, const uint32_t *window, int32_t words)
{
    __asm__("push {r4-r11, lr}\n ldrd r12, r11, [sp, #36]\n ldrd r9, r10, [r12], #8\n"
            "eor r10, r10, r9\n mov lr, r10\n lsrs r11, r11, #2\n mov r8, r11\n"
            "1: ldm r12!, {r4-r7}\n eor r5, r5, r4\n eor r4, r4, lr\n eor lr, lr, r5\n"
            "eor r7, r7, r6\n eor r6, r6, lr\n eor lr, lr, r7\n push {r4-r7}\n subs r11, #1\n bne 1b\n"
            "push {r8-r10}\n"
            ".balign 4\n"
            "2: ldr.w r4, [sp, #4]\n ldr.w r5, [sp, #8]\n ldr.w r6, [r0], #8\n ldr r7, [r0, #-4]\n ldr.w r8, [sp]\n"
            "eor.w r4, r4, r6\n eor.w r5, r5, r7\n bic.w r4, r4, r5\n cmp.w r8, #2\n beq.w 4f\n"
            PAIR("60", "64", "r6", "r7", "r8", "r9") FIRST("r5", "r6", "r7")
            PAIR("68", "72", "r6", "r8", "r9", "r10") SECOND("r5", "r7", "r6", "r8", "r9") FIRST_OF("r4", "r9", "r7")
            PAIR("44", "48", "r6", "r8", "r9", "r10") FIRST("r5", "r6", "r8")
            PAIR("52", "56", "r6", "r9", "r10", "r11") SECOND("r5", "r8", "r6", "r9", "r10")
            SECOND_OF("r4", "r7", "r10", "r8", "r6")
            "3:\n"
            PAIR("28", "32", "r8", "r9", "r10", "r11") FIRST("r5", "r8", "r9")
            PAIR("36", "40", "r8", "r10", "r11", "r12") SECOND("r5", "r9", "r8", "r10", "r11") FIRST_OF("r4", "r11", "r9")
            PAIR("12", "16", "r8", "r10", "r11", "r12") FIRST("r5", "r8", "r10")
            PAIR("20", "24", "r8", "r11", "r12", "lr") SECOND("r5", "r10", "r8", "r11", "r12")
            SECOND_OF("r4", "r9", "r12", "r10", "r8")
            /* Fours in r7, eights in r8, sixteens in r6: of the carries (r6, r7) and (r8, r9), with z = 0. */
            "orr.w r10, r6, r7\n eor.w r8, r8, r7\n bic.w r8, r8, r9\n bic.w r6, r6, r7\n eor.w r7, r7, r9\n"
            "eor.w r8, r8, r10\n bics.w r6, r6, r8\n"
            TWOS("r5", "r9") TWOS("r4", "r9") TWOS("r7", "r9") TWOS("r8", "r9")
            FOURS("r5", "r9") FOURS("r4", "r9") FOURS("r7", "r9") FOURS("r8", "r9")
            "add.w r5, r5, r4, lsl #1\n add.w r7, r7, r8, lsl #1\n"
            EIGHTS("r5", "r9") EIGHTS("r7", "r9")
            "add.w r5, r5, r7, lsl #2\n bne.w 6f\n"
            "5: ldr.w r4, [r1], #4\n mov.w r6, #0\n"
            "usada8 r5, r5, r6, r4\n str.w r5, [r2], #4\n adds.w r5, r5, r5\n rrxs r3, r3\n bcc.w 2b\n"
            "ldr r4, [sp]\n mov r0, r3\n add sp, #12\n lsl r4, r4, #4\n add sp, r4\n pop {r4-r11, pc}\n"
            "4: mov.w r6, #0\n mov.w r7, #0\n b.w 3b\n"
            "6:\n" TWOS("r6", "r9") FOURS("r6", "r9")
            "add.w r6, r6, r6, lsr #4\n and.w r6, r6, #0x0f0f0f0f\n add.w r5, r5, r6, lsl #4\n b.w 5b\n");
}
/* clang-format on */
#else
#ifdef __arm__
/* Two adders: z becomes the sum of the second, and (a, P) the pair of carries. */
KB_INLINE void add4(uint32_t *z, uint32_t g1, uint32_t p1, uint32_t g2, uint32_t p2, uint32_t pair[2])
{
    const uint32_t first = p1 | g1, sum = *z ^ p1;
    pair[0] = first ^ sum;
    pair[1] = first ^ (g2 & ~p2);
    *z = sum ^ p2;
}

/* The same of two pairs (a, P). */
KB_INLINE void add_pairs(uint32_t *z, const uint32_t p[2], const uint32_t q[2], uint32_t pair[2])
{
    add4(z, p[0] ^ *z, p[1], q[0] ^ *z ^ p[1], q[1], pair);
}

/* The bits of a word in fields of 4. */
KB_INLINE uint32_t in_fours(uint32_t x)
{
    x -= x >> 1 & 0x55555555;
    return (x & 0x33333333) + (x >> 2 & 0x33333333);
}

KB_INLINE uint32_t in_eights(uint32_t x)
{
    return (x & 0x0f0f0f0f) + (x >> 4 & 0x0f0f0f0f);
}

/* The bits set in what x and w differ in, of pairs in the order of windows and weights. */
KB_INLINE uint32_t differing(const uint32_t *x, const uint32_t *w, int32_t words)
{
    uint32_t ones = x[1] ^ w[1], twos = (x[0] ^ w[0]) & ~ones, sum = 0;
    uint32_t carries[4] = {0}, fours[2][2] = {{0}}, eights[2];
    for (int32_t half = words < CHUNK; half < 2; half++) {
        for (int32_t i = 0; i < 4; i += 2) {
            x += 2, w += 2;
            add4(&ones, x[0] ^ w[0], x[1] ^ w[1], x[2] ^ w[2], x[3] ^ w[3], carries + i);
            x += 2, w += 2;
        }
        add_pairs(&twos, carries, carries + 2, fours[half]);
    }
    add_pairs(&sum, fours[0], fours[1], eights);
    const uint32_t low = in_fours(ones) + 2 * in_fours(twos), high = in_fours(sum) + 2 * in_fours(eights[1]);
    const uint32_t bytes = in_eights(low) + 4 * in_eights(high) + 16 * in_eights(in_fours(eights[0] & ~eights[1]));
    const uint32_t halves = (bytes & 0x00ff00ff) + (bytes >> 8 & 0x00ff00ff);
    return (halves & 0xffff) + (halves >> 16);
}
#else
/* The same where an instruction counts. */
KB_INLINE uint32_t differing(const uint32_t *x, const uint32_t *w, int32_t words)
{
    uint32_t sum = 0, before = 0;
    for (int32_t i = 0; i < words; i += 2) {
        const uint32_t first = x[i] ^ w[i] ^ before, odd = x[i + 1] ^ w[i + 1];
        sum += (uint32_t)(__builtin_popcount(first) + __builtin_popcount(first ^ odd));
        before ^= odd;
    }
    return sum;
}
#endif

/* Add the bits that agree in a chunk. Signs come in from above, and `last` is the bit that leaves with that of the last
   channel. */
KB_APART uint32_t sums_of(const uint32_t *weight, const uint32_t *from, uint32_t *sums, uint32_t last,
                          const uint32_t *window, int32_t words)
{
    uint32_t read[CHUNK], before = 0, left = 0;
    for (int32_t i = 0; i < words; i += 2) {
        read[i] = window[i] ^ before;
        read[i + 1] = window[i] ^ window[i + 1];
        before ^= read[i + 1];
    }
    while (!left) {
        *sums = *from++ + differing(read, weight, words);
        weight += words;
        left = last & 1;
        last = last >> 1 | (*sums++ & 0x80000000);
    }
    return last;
}
#endif

/* Read the window of a pixel. */
KB_INLINE void read_window(kb_few *f, int32_t x)
{
    const kb_window *g = f->window;
    const int32_t rows = f->rows_inside, words = f->pixel;
    const kb_span column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
    const int32_t columns = column.to - column.from, run = columns * words;
    f->valid = rows * columns * g->in.channels;
    f->place = (f->first_place + kb_bits_case(&f->columns, x)) * g->out.channels;
    if (columns < g->kernel_w || rows < g->kernel_h) {
        KB_NO_UNROLL
        for (int32_t i = f->count; i-- > 0;)
            f->words[i] = 0;
    }
    const uint32_t *from = f->from + (column.start + column.from) * words;
    uint32_t *to = f->to + column.from * words;
    const int32_t skip = f->in_row - run, skip_to = f->row - run;
    KB_NO_UNROLL
    for (int32_t left = rows; left > 0; left--) {
        const uint32_t *end = from + run;
        if (run & 1)
            *to++ = *from++;
        KB_NO_UNROLL
        while (from != end) {
            const uint32_t a = *from++, b = *from++;
            *to++ = a, *to++ = b;
        }
        from += skip;
        to += skip_to;
    }
}

KB_KERNEL uint32_t kb_few_pixel(kb_few *f, int32_t x, const uint32_t *levels, uint32_t *sums)
{
    read_window(f, x);
    const int32_t channels = f->window->out.channels;
    const uint32_t *window = f->words, *weight = f->weight, *from = levels ? levels + f->place : sums;
    if (!levels) {
        KB_NO_UNROLL
        for (int32_t o = channels; o-- > 0;)
            sums[o] = 0;
    }
    for (int32_t left = f->filled;;) {
        const int32_t words = kb_min(CHUNK, left);
        const uint32_t signs = sums_of(weight, from, sums, 1u << (channels - 1), window, words);
        left -= words;
        if (!left)
            return signs >> (32 - channels);
        weight += channels * words;
        window += words;
        from = sums;
    }
}
