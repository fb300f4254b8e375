/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that make a value of each value, or of two, one after the other: macros that define them, one in each file.
 */
#ifndef KB_POINTWISE_H
#define KB_POINTWISE_H

#include "kb_inline.h"

/* `of` makes a value `made` of a `value`, by parameters that are copied lest a store may change them. */
#define KB_POINTWISE(kernel, value, made, params)                                                                      \
    KB_KERNEL void kernel(const value *in, made *out, const params *p, const kb_region *r)                             \
    {                                                                                                                  \
        const params own = *p;                                                                                         \
        const int32_t channels = own.in.channels, count = (r->x_end - r->x) * channels;                                \
        for (int32_t y = r->y; y < r->y_end; y++) {                                                                    \
            const int32_t first = (y * own.in.width + r->x) * channels;                                                \
            for (int32_t i = first; i < first + count; i++)                                                            \
                out[i] = of(in[i], &own);                                                                              \
        }                                                                                                              \
    }

/* The same of a value and the number of its channel. */
#define KB_CHANNELWISE(kernel, value, params)                                                                          \
    KB_KERNEL void kernel(const value *in, value *out, const params *p, const kb_region *r)                            \
    {                                                                                                                  \
        const params own = *p;                                                                                         \
        const int32_t channels = own.in.channels;                                                                      \
        for (int32_t y = r->y; y < r->y_end; y++)                                                                      \
            for (int32_t x = r->x; x < r->x_end; x++) {                                                                \
                const int32_t first = (y * own.in.width + x) * channels;                                               \
                for (int32_t c = 0; c < channels; c++)                                                                 \
                    out[first + c] = of(in[first + c], c, &own);                                                       \
            }                                                                                                          \
    }

/* `of` makes a value of a pair of values of two maps, which are broadcast. */
#define KB_BROADCAST(kernel, value, params)                                                                            \
    KB_KERNEL void kernel(const value *a, const value *b, value *out, const params *p)                                 \
    {                                                                                                                  \
        const params own = *p;                                                                                         \
        const kb_broadcast *g = &own.grid;                                                                             \
        for (int32_t y = 0; y < g->size[0]; y++)                                                                       \
            for (int32_t x = 0; x < g->size[1]; x++, out += g->size[2]) {                                              \
                const value *of_a = a + y * g->a[0] + x * g->a[1], *of_b = b + y * g->b[0] + x * g->b[1];              \
                for (int32_t i = 0; i < g->size[2]; i++, of_a += g->a[2], of_b += g->b[2])                             \
                    out[i] = of(*of_a, *of_b, &own);                                                                   \
            }                                                                                                          \
    }

#endif
