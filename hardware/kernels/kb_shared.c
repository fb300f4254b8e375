/* SPDX-License-Identifier: Apache-2.0 */
#include "kb_shared.h"

void kb_shared_begin(kb_shared *s, const kb_window *g, const uint32_t *weight, void *scratch, const kb_region *r)
{
    const int32_t end = (r->x_end - 1) * g->stride_w - g->pad_w + g->kernel_w;
    s->window = g;
    s->together = g->out.channels > 8 ? 2 : 4;
    s->x = r->x;
    s->x_end = r->x_end;
    s->wide = *g;
    s->wide.kernel_w += (s->together - 1) * g->stride_w;
    s->wide.stride_w *= s->together;
    s->wide.pad_w -= r->x * g->stride_w;
    kb_bits_begin(&s->bits, &s->wide, weight, scratch);
    s->bits.width = kb_min(end, g->in.width);
    s->columns = kb_bits_cases_of(g->out.width, g->in.width, g->kernel_w, g->stride_w, g->pad_w);
}

/* The set taps in the lists of the kernel columns [from, to). */
KB_INLINE int32_t count_set(const kb_bits *b, int32_t from, int32_t to)
{
    int32_t set = 0;
    KB_NO_UNROLL
    for (int32_t column = b->column.start + from; column < b->column.start + to; column++)
        set += b->lists[column % b->list_count * b->list_size];
    return set;
}

void kb_shared_pixels(kb_shared *s, const uint32_t *in, int32_t x)
{
    const kb_window *g = s->window;
    kb_bits *b = &s->bits;
    s->count = kb_min(s->together, s->x_end - x);
    kb_bits_pixel(b, in, (x - s->x) / s->together);
    KB_NO_UNROLL
    for (int32_t i = 0; i < s->count; i++) {
        const kb_span own = kb_clip((x + i) * g->stride_w - g->pad_w, g->kernel_w, g->in.width);
        const int32_t first = i * g->stride_w;
        s->pixels[i].valid = (b->row.to - b->row.from) * (own.to - own.from) * g->in.channels;
        s->pixels[i].set = count_set(b, first + own.from, first + own.to);
        s->pixels[i].place = kb_bits_case(&b->rows, b->y) * s->columns.count + kb_bits_case(&s->columns, x + i);
    }
}
