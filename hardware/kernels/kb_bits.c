#include "kb_bits.h"

static kb_bits_cases cases(int32_t out, int32_t in, int32_t kernel, int32_t stride, int32_t padding)
{
    const int32_t edge = (padding + stride - 1) / stride;
    const int32_t end = kb_max(0, in + padding - kernel + stride) / stride;
    const int32_t skip = kb_max(0, end - edge - 1);
    return (kb_bits_cases){edge, skip, out - skip};
}

static int32_t case_of(const kb_bits_cases *c, int32_t i)
{
    return kb_min(i, kb_max(c->edge, i - c->skip));
}

void kb_bits_begin(kb_bits *b, const kb_window *g, const uint32_t *weight, void *scratch)
{
    b->window = g;
    b->weight = weight;
    b->taps = g->kernel_h * g->in.channels;
    b->list_size = (b->taps + 7) / 8 * 8 + 2;
    b->lists = scratch;
    b->carries = (uint32_t *)(void *)(b->lists + g->kernel_w * b->list_size);
    b->bits = kb_bits_of(b->taps * g->kernel_w);
    b->rows = cases(g->out.height, g->in.height, g->kernel_h, g->stride_h, g->pad_h);
    b->columns = cases(g->out.width, g->in.width, g->kernel_w, g->stride_w, g->pad_w);
}

void kb_bits_row(kb_bits *b, int32_t y, int32_t x)
{
    const kb_window *g = b->window;
    b->y = y;
    b->row = kb_clip(y * g->stride_h - g->pad_h, g->kernel_h, g->in.height);
    b->listed = x * g->stride_w - g->pad_w;
}

/* Append the offsets of the set bits of one pixel's channels; those beyond the last channel are 0. */
static KB_KERNEL __attribute__((noinline)) uint16_t *list_pixel(const uint32_t *in, int32_t channels, uint16_t *end, int32_t offset)
{
    for (; channels > 0; channels -= 32) {
        uint32_t word = *in++;
        for (int32_t left = kb_min(32, channels); left > 0; left -= 8) {
            for (int32_t j = 0; j < 8; j++) {
                if (word >> j & 1)
                    *end++ = (uint16_t)(offset + 4 * j);
            }
            word >>= 8;
            offset += 32;
        }
    }
    return end;
}

/* List the set taps of an input column in this row, padded with the word 0 to a multiple of 8; their number comes first. */
static void list_column(kb_bits *b, const uint32_t *in, uint16_t *list, int32_t x)
{
    const kb_window *g = b->window;
    const int32_t words = kb_words(g->in.channels);
    uint16_t *end = list + 1;
    for (int32_t ky = b->row.from; ky < b->row.to; ky++) {
        const uint32_t *pixel = in + ((b->row.start + ky) * g->in.width + x) * words;
        end = list_pixel(pixel, g->in.channels, end, 4 * ky * g->in.channels);
    }
    *list = (uint16_t)(end - list - 1);
    while ((end - list - 1) % 8)
        *end++ = (uint16_t)(4 * b->taps);
}

static int32_t next(const kb_bits *b, int32_t slot)
{
    return slot + 1 < b->window->kernel_w ? slot + 1 : 0;
}

void kb_bits_pixel(kb_bits *b, const uint32_t *in, int32_t x)
{
    const kb_window *g = b->window;
    b->column = kb_clip(x * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
    b->valid = (b->row.to - b->row.from) * (b->column.to - b->column.from) * g->in.channels;
    b->place = case_of(&b->rows, b->y) * b->columns.count + case_of(&b->columns, x);
    b->slot = (b->column.start + b->column.from) % g->kernel_w;
    b->set = 0;
    for (int32_t kx = b->column.from, slot = b->slot; kx < b->column.to; kx++, slot = next(b, slot)) {
        const int32_t column = b->column.start + kx;
        uint16_t *list = b->lists + slot * b->list_size;
        if (column >= b->listed)
            list_column(b, in, list, column);
        b->set += *list;
    }
    b->listed = b->column.start + b->column.to;
}

/* Carry-save adder: `sum` takes two words in and gives one of twice the weight. */
KB_INLINE uint32_t add2(uint32_t *sum, uint32_t a, uint32_t b)
{
    const uint32_t odd = a ^ b, carry = (a & b) | (odd & *sum);
    *sum ^= odd;
    return carry;
}

/* Count 8 words into slices 1, 2 and 4 (Harley-Seal); the carry has weight 8. */
KB_INLINE uint32_t add8(uint32_t s[3], const uint32_t w[8])
{
    uint32_t twos = add2(&s[0], w[0], w[1]);
    twos = add2(&s[1], twos, add2(&s[0], w[2], w[3]));
    uint32_t more = add2(&s[0], w[4], w[5]);
    more = add2(&s[1], more, add2(&s[0], w[6], w[7]));
    return add2(&s[2], twos, more);
}

#ifdef __thumb2__
/* The C below in registers throughout: clang's takes a tenth more cycles. Instructions are wide lest they lie askew. */
#define ADD2(sum, a, b)                                                                                               \
    "eor.w %[e], " a ", " b "\n and.w " a ", " a ", " b "\n and.w " b ", %[e], " sum "\n"                             \
    "eor.w " sum ", " sum ", %[e]\n orr.w " a ", " a ", " b "\n"
#define LOAD4(first, i, a, b, c, d)                                                                                   \
    "ldrh.w " a ", [%[list]" first "\n ldrh.w " b ", [%[list], #-14 + " i "]\n ldrh.w " c ", [%[list], #-12 + " i      \
    "]\n ldrh.w " d ", [%[list], #-10 + " i "]\n ldr.w " a ", [%[words], " a "]\n ldr.w " b ", [%[words], " b "]\n"    \
    "ldr.w " c ", [%[words], " c "]\n ldr.w " d ", [%[words], " d "]\n"
#endif

/* Count the words of a list, 8 * blocks of them, into three slices, and append the carries. */
static KB_KERNEL __attribute__((noinline)) uint32_t *add_listed(uint32_t *count, const uint16_t *list, int32_t blocks, const void *words,
                                      uint32_t *carry)
{
    uint32_t s[3] = {count[0], count[1], count[2]};
#ifdef __thumb2__
    if (blocks) {
        const uint16_t *end = list + 8 * blocks;
        uint32_t a, b, c, d, e, f;
        __asm__ volatile(".p2align 2\n1:\n" LOAD4("], #16", "0", "%[a]", "%[b]", "%[c]", "%[d]")
                             ADD2("%[s0]", "%[a]", "%[b]") ADD2("%[s0]", "%[c]", "%[d]") ADD2("%[s1]", "%[a]", "%[c]")
                                 LOAD4(", #-8]", "8", "%[b]", "%[c]", "%[d]", "%[f]")
                                     ADD2("%[s0]", "%[b]", "%[c]") ADD2("%[s0]", "%[d]", "%[f]")
                                         ADD2("%[s1]", "%[b]", "%[d]") ADD2("%[s2]", "%[a]", "%[b]")
                         "str.w %[a], [%[carry]], #4\n cmp.w %[list], %[end]\n bne.w 1b\n"
                         : [list] "+r"(list), [carry] "+r"(carry), [s0] "+r"(s[0]), [s1] "+r"(s[1]), [s2] "+r"(s[2]),
                           [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e), [f] "=&r"(f)
                         : [words] "r"(words), [end] "r"(end)
                         : "cc", "memory");
    }
#else
    for (; blocks > 0; blocks--) {
        uint32_t w[8];
        for (int32_t i = 0; i < 8; i++)
            w[i] = *(const uint32_t *)(const void *)((const char *)words + list[i]);
        *carry++ = add8(s, w);
        list += 8;
    }
#endif
    count[0] = s[0], count[1] = s[1], count[2] = s[2];
    return carry;
}

/* Count words that follow each other, and put the carries in their place; the number of these. */
static KB_KERNEL __attribute__((noinline)) int32_t add_carries(uint32_t *count, uint32_t *words, int32_t number)
{
    uint32_t s[3] = {count[0], count[1], count[2]};
    int32_t blocks = 0;
    while (number % 8)
        words[number++] = 0;
    for (; 8 * blocks < number; blocks++)
        words[blocks] = add8(s, words + 8 * blocks);
    count[0] = s[0], count[1] = s[1], count[2] = s[2];
    return blocks;
}

void kb_bits_count(kb_bits *b, int32_t group, int32_t start)
{
    const int32_t kernel_w = b->window->kernel_w;
    const uint32_t *words = b->weight + (group * kernel_w + b->column.from) * (b->taps + 1);
    uint32_t *carry = b->carries;
    for (int32_t i = 0; i < KB_BITS_MAX; i++)
        b->count[i] = -(uint32_t)(start >> i & 1);
    for (int32_t kx = b->column.from, slot = b->slot; kx < b->column.to; kx++, slot = next(b, slot)) {
        const uint16_t *list = b->lists + slot * b->list_size;
        carry = add_listed(b->count, list + 1, (*list + 7) / 8, words, carry);
        words += b->taps + 1;
    }
    int32_t number = (int32_t)(carry - b->carries);
    for (int32_t level = 3; level < b->bits && number; level += 3)
        number = add_carries(b->count + level, b->carries, number);
}

void kb_bits_sums(const kb_bits *b, int32_t sums[32])
{
    for (int32_t j = 0; j < 8; j++) {
        uint32_t low = 0, high = 0;
        for (int32_t i = 0; i < b->bits; i++) {
            const uint32_t four = b->count[i] >> j & 0x01010101u;
            if (i < 8)
                low |= four << i;
            else
                high |= four << (i - 8);
        }
        for (int32_t k = 0; k < 4; k++)
            sums[j + 8 * k] = 4 * (int32_t)((low >> 8 * k & 255) + ((high >> 8 * k & 255) << 8)) + b->valid - 2 * b->set;
    }
}
