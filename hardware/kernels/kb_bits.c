/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_bits.h"

void kb_bits_begin(kb_bits *b, const kb_window *g, const uint32_t *weight, void *scratch)
{
    const int32_t column = g->kernel_h * g->in.channels;
    b->window = g;
    b->weight = weight;
    b->taps = column * g->kernel_w;
    b->list_count = column > KB_BITS_FEW ? g->kernel_w : 1;
    b->list_taps = column > KB_BITS_FEW ? column : b->taps;
    b->list_size = (b->list_taps + 7) / 8 * 8 + 8;
    b->lists = scratch;
    b->carries = (uint32_t *)(void *)(b->lists + b->list_count * b->list_size);
    b->bits = kb_bits_of(b->taps);
    b->width = g->in.width;
    b->rows = kb_bits_cases_of(g->out.height, g->in.height, g->kernel_h, g->stride_h, g->pad_h);
    b->columns = kb_bits_cases_of(g->out.width, g->in.width, g->kernel_w, g->stride_w, g->pad_w);
}

void kb_bits_row(kb_bits *b, int32_t y, int32_t x)
{
    const kb_window *g = b->window;
    b->y = y;
    b->row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
    b->listed = x * g->stride_w - g->pad_w;
}

/* Append the offset of every set bit of a word: `offset` is that of bit 31, and 4 more than that of bit 30. */
KB_INLINE uint16_t *list_word(uint32_t word, uint16_t *end, int32_t offset)
{
#ifdef __thumb2__
    const int32_t step = -4;
    /* One shift tests two bits, as carry and sign; instructions lie so that none is askew in flash. */
#define TWO(shift)                                                                                                     \
    "lsls.w %[word], %[word], #" shift "\n add %[offset], %[step]\n it cs\n strhcs.w %[offset], [%[end]], #2\n"        \
    "add %[offset], %[step]\n it mi\n strhmi.w %[offset], [%[end]], #2\n"
    offset -= step;
    __asm__ volatile(".p2align 2\n 1:\n" TWO("1") TWO("2") TWO("2") TWO("2") "lsls.w %[word], %[word], #1\n bne 1b\n"
                     : [word] "+r"(word), [end] "+r"(end), [offset] "+r"(offset)
                     : [step] "r"(step)
                     : "cc", "memory");
#undef TWO
#else
    for (; word; word <<= 8, offset -= 32)
        for (int32_t j = 0; j < 8; j++)
            if (word << j >> 31)
                *end++ = (uint16_t)(offset - 4 * j);
#endif
    return end;
}

/* Append the offsets of the set bits of one pixel's channels. */
KB_INLINE uint16_t *list_pixel(const uint32_t *in, int32_t channels, uint16_t *end, int32_t offset)
{
    KB_NO_UNROLL
    for (; channels > 0; channels -= 32) {
        const int32_t last = kb_min(32, channels) - 1;
        end = list_word(*in++ << (31 - last), end, offset + 4 * last);
        offset += 128;
    }
    return end;
}

/* Append the set taps of a column of the input in this row, whose weights start at `offset`. */
KB_APART uint16_t *list_column(const kb_bits *b, const uint32_t *in, int32_t x, uint16_t *end, int32_t offset)
{
    const kb_window *g = b->window;
    const int32_t channels = g->in.channels, words = kb_words(channels);
    const uint32_t *pixel = in + ((b->row.start + b->row.from) * g->in.width + x) * words;
    KB_NO_UNROLL
    for (int32_t ky = b->row.from; ky < b->row.to; ky++) {
        end = list_pixel(pixel, channels, end, offset + 4 * ky * channels);
        pixel += g->in.width * words;
    }
    return end;
}

/* Pad a list with the word 0 to a multiple of 8, and note its length. */
KB_INLINE void close_list(const kb_bits *b, uint16_t *list, uint16_t *end)
{
    *list = (uint16_t)(end - list - 1);
    for (int32_t i = 0; i < 7; i++)
        end[i] = (uint16_t)(4 * b->list_taps);
}

static int32_t next(const kb_bits *b, int32_t slot)
{
    return slot + 1 < b->list_count ? slot + 1 : 0;
}

/* One list of all the pixel's set taps. */
KB_APART void list_window(kb_bits *b, const uint32_t *in)
{
    const kb_window *g = b->window;
    const int32_t channels = g->in.channels, words = kb_words(channels);
    const int32_t first = (b->row.start + b->row.from) * g->in.width + b->column.start + b->column.from;
    const uint32_t *row = in + first * words;
    uint16_t *end = b->lists + 1;
    KB_NO_UNROLL
    for (int32_t ky = b->row.from; ky < b->row.to; ky++) {
        const uint32_t *pixel = row;
        KB_NO_UNROLL
        for (int32_t kx = b->column.from; kx < b->column.to; kx++) {
            end = list_pixel(pixel, channels, end, 4 * (kx * g->kernel_h + ky) * channels);
            pixel += words;
        }
        row += g->in.width * words;
    }
    close_list(b, b->lists, end);
    b->used = (kb_range){0, 1};
    b->slot = 0;
    b->set = *b->lists;
}

/* A list for each column of the window; those that the pixel before had are there. */
static void list_columns(kb_bits *b, const uint32_t *in)
{
    b->used = (kb_range){b->column.from, b->column.to};
    b->slot = (b->column.start + b->column.from) % b->list_count;
    b->set = 0;
    int32_t slot = b->slot;
    KB_NO_UNROLL
    for (int32_t column = b->column.start + b->column.from; column < b->column.start + b->column.to; column++) {
        uint16_t *list = b->lists + slot * b->list_size;
        if (column >= b->listed)
            close_list(b, list, list_column(b, in, column, list + 1, 0));
        b->set += *list;
        slot = next(b, slot);
    }
    b->listed = b->column.start + b->column.to;
}

void kb_bits_pixel(kb_bits *b, const uint32_t *in, int32_t x)
{
    const kb_window *g = b->window;
    b->column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, b->width);
    b->valid = (b->row.to - b->row.from) * (b->column.to - b->column.from) * g->in.channels;
    b->place = kb_bits_case(&b->rows, b->y) * b->columns.count + kb_bits_case(&b->columns, x);
    if (b->list_taps == b->taps)
        list_window(b, in);
    else
        list_columns(b, in);
}

#ifdef __thumb2__
/* What add_listed and add_words say in C, with all in registers: clang spills and takes a tenth more cycles.
   Instructions are wide lest they lie askew in flash. */
#define ADD2(sum, a, b)                                                                                                \
    "eor.w %[t], " a ", " b "\n and.w " a ", " a ", " b "\n and.w " b ", %[t], " sum "\n"                              \
    "eor.w " sum ", " sum ", %[t]\n orr.w " a ", " a ", " b "\n"
/* clang-format off */
#define ADD8(load_abcd, load_bcde)                                                                                     \
    ".p2align 2\n 1:\n" load_abcd                                                                                      \
    ADD2("%[ones]", "%[a]", "%[b]") ADD2("%[ones]", "%[c]", "%[d]") ADD2("%[twos]", "%[a]", "%[c]")                    \
    load_bcde                                                                                                          \
    ADD2("%[ones]", "%[b]", "%[c]") ADD2("%[ones]", "%[d]", "%[e]") ADD2("%[twos]", "%[b]", "%[d]")                    \
    ADD2("%[fours]", "%[a]", "%[b]")                                                                                   \
    "str.w %[a], [%[carry]], #4\n cmp %[from], %[end]\n bne 1b\n"
/* clang-format on */
#define ADD8_OPERANDS                                                                                                  \
    [from] "+r"(from), [carry] "+r"(carry), [ones] "+r"(ones), [twos] "+r"(twos), [fours] "+r"(fours), [a] "=&r"(a),   \
        [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e), [t] "=&r"(t)
#else
/* Carry-save adder: `sum` takes two words in and gives one of twice the weight. */
KB_INLINE uint32_t add2(uint32_t *sum, uint32_t a, uint32_t b)
{
    const uint32_t odd = a ^ b, carry = (a & b) | (odd & *sum);
    *sum ^= odd;
    return carry;
}

/* Count 8 words into three slices (Harley-Seal); the carry has weight 8. */
KB_INLINE uint32_t add8(uint32_t *ones, uint32_t *twos, uint32_t *fours, const uint32_t w[8])
{
    uint32_t a = add2(ones, w[0], w[1]);
    a = add2(twos, a, add2(ones, w[2], w[3]));
    uint32_t b = add2(ones, w[4], w[5]);
    b = add2(twos, b, add2(ones, w[6], w[7]));
    return add2(fours, a, b);
}
#endif

/* Count the words of a list, 8 * blocks > 0 of them, into three slices, and append the carries. */
KB_INLINE uint32_t *add_listed(uint32_t count[3], const uint16_t *from, int32_t blocks, const uint32_t *words,
                               uint32_t *carry)
{
    const uint16_t *end = from + 8 * blocks;
    uint32_t ones = count[0], twos = count[1], fours = count[2];
#ifdef __thumb2__
    uint32_t a, b, c, d, e, t;
#define LOAD4(first, second, third, fourth, a, b, c, d)                                                                \
    "ldrh.w %[" a "], [%[from]" first "\n ldrh.w %[" b "], [%[from]" second "\n ldrh.w %[" c "], [%[from]" third "\n"  \
    "ldrh.w %[" d "], [%[from]" fourth "\n ldr.w %[" a "], [%[words], %[" a "]]\n ldr.w %[" b "], [%[words], %[" b     \
    "]]\n ldr.w %[" c "], [%[words], %[" c "]]\n ldr.w %[" d "], [%[words], %[" d "]]\n"
    __asm__ volatile(ADD8(LOAD4("], #16", ", #-14]", ", #-12]", ", #-10]", "a", "b", "c", "d"),
                          LOAD4(", #-8]", ", #-6]", ", #-4]", ", #-2]", "b", "c", "d", "e"))
                     : ADD8_OPERANDS
                     : [words] "r"(words), [end] "r"(end)
                     : "cc", "memory");
#undef LOAD4
#else
    while (from != end) {
        uint32_t w[8];
        for (int32_t i = 0; i < 8; i++)
            w[i] = *(const uint32_t *)(const void *)((const char *)words + *from++);
        *carry++ = add8(&ones, &twos, &fours, w);
    }
#endif
    count[0] = ones, count[1] = twos, count[2] = fours;
    return carry;
}

/* The same for words that follow each other; the carries take their place. */
KB_INLINE void add_words(uint32_t *count, uint32_t *words, int32_t blocks)
{
    uint32_t *from = words, *carry = words, *end = words + 8 * blocks;
    uint32_t ones = count[0], twos = count[1], fours = count[2];
#ifdef __thumb2__
    uint32_t a, b, c, d, e, t;
#define LOAD4(first, second, third, fourth, a, b, c, d)                                                                \
    "ldr %[" a "], [%[from]" first "\n ldr %[" b "], [%[from]" second "\n ldr %[" c "], [%[from]" third "\n"           \
    "ldr %[" d "], [%[from]" fourth "\n"
    __asm__ volatile(ADD8(LOAD4("], #32", ", #-28]", ", #-24]", ", #-20]", "a", "b", "c", "d"),
                          LOAD4(", #-16]", ", #-12]", ", #-8]", ", #-4]", "b", "c", "d", "e"))
                     : ADD8_OPERANDS
                     : [end] "r"(end)
                     : "cc", "memory");
#undef LOAD4
#else
    for (; from != end; from += 8)
        *carry++ = add8(&ones, &twos, &fours, from);
#endif
    count[0] = ones, count[1] = twos, count[2] = fours;
}

/* Add words of weight 2^level to a counter of `bits` slices; 7 words more may be overwritten. */
static void add_carries(uint32_t *count, int32_t level, int32_t bits, uint32_t *words, int32_t number)
{
    KB_NO_UNROLL
    while (number * (bits - level) > 8) {
        for (int32_t i = 0; i < 7; i++)
            words[number + i] = 0;
        number = (number + 7) / 8;
        add_words(count + level, words, number);
        level += 3;
    }
    KB_NO_UNROLL
    for (; number > 0; number--) {
        uint32_t carry = *words++;
        KB_NO_UNROLL
        for (int32_t slice = level; slice < bits; slice++) {
            const uint32_t before = count[slice];
            count[slice] = before ^ carry;
            carry &= before;
        }
    }
}

KB_KERNEL void kb_bits_count(kb_bits *b, int32_t group, int32_t start)
{
    const uint32_t *words = b->weight + (group * b->list_count + b->used.from) * (b->list_taps + 1);
    uint32_t *carry = b->carries;
    int32_t slot = b->slot;
    for (int32_t i = 0; i < KB_BITS_SLICES; i++)
        b->count[i] = -(uint32_t)(start >> i & 1);
    KB_NO_UNROLL
    for (int32_t left = b->used.to - b->used.from; left > 0; left--) {
        const uint16_t *list = b->lists + slot * b->list_size;
        if (*list)
            carry = add_listed(b->count, list + 1, (*list + 7) / 8, words, carry);
        words += b->list_taps + 1;
        slot = next(b, slot);
    }
    add_carries(b->count, 3, b->bits, b->carries, (int32_t)(carry - b->carries));
}

void kb_bits_sums(const kb_bits *b, int32_t sums[32])
{
    KB_NO_UNROLL
    for (int32_t j = 0; j < 8; j++) {
        uint32_t low = 0, high = 0; /* a byte for each of four channels */
#define TAKE(sum, i) sum = 2 * sum + (b->count[i] >> j & 0x01010101u)
        KB_NO_UNROLL
        for (int32_t i = b->bits; i-- > 8;)
            TAKE(high, i);
        TAKE(low, 7), TAKE(low, 6), TAKE(low, 5), TAKE(low, 4);
        TAKE(low, 3), TAKE(low, 2), TAKE(low, 1), TAKE(low, 0);
#undef TAKE
        KB_UNROLL
        for (int32_t k = 0; k < 4; k++)
            sums[j + 8 * k] = 2 * (int32_t)((low >> 8 * k & 255) + ((high >> 8 * k & 255) << 8));
    }
}
