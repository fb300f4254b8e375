/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that only move values: macros that define them for a type of values, one in each file. */
#ifndef KB_MOVEMENT_H
#define KB_MOVEMENT_H

#include "kb_inline.h"

/* Copies bytes from one place to another that does not overlap it, by words where both lie on them. */
KB_INLINE void kb_copy(void *to, const void *from, uint32_t bytes)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if ((((uintptr_t)t | (uintptr_t)f) & 3) == 0)
        for (; bytes >= 4; bytes -= 4, t += 4, f += 4)
            __builtin_memcpy(__builtin_assume_aligned(t, 4), __builtin_assume_aligned(f, 4), 4);
    for (; bytes > 0; bytes--)
        *t++ = *f++;
}

#define KB_COPY(to, from, count) kb_copy(to, from, (uint32_t)(count) * sizeof(*(to)))

/* Maps one after the other: of each input all pieces, into their places. */
#define KB_CONCAT(kernel, value)                                                                                       \
    KB_KERNEL void kernel(const value *const *in, value *out, const kb_concat_params *p)                               \
    {                                                                                                                  \
        int32_t all = 0;                                                                                               \
        for (int32_t i = 0; i < p->inputs; i++)                                                                        \
            all += p->sizes[i];                                                                                        \
        for (int32_t i = 0; i < p->inputs; out += p->sizes[i++])                                                       \
            for (int32_t piece = 0; piece < p->pieces; piece++)                                                        \
                KB_COPY(out + piece * all, in[i] + piece * p->sizes[i], p->sizes[i]);                                  \
    }

/* A constant around a map. */
#define KB_PAD(kernel, value, params)                                                                                  \
    KB_INLINE void fill(value *to, value with, int32_t count)                                                          \
    {                                                                                                                  \
        for (int32_t i = 0; i < count; i++)                                                                            \
            to[i] = with;                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    KB_KERNEL void kernel(const value *in, value *out, const params *p)                                                \
    {                                                                                                                  \
        const kb_shape from = p->in, to = p->out, before = p->before;                                                  \
        const value with = (value)p->with;                                                                             \
        for (int32_t y = -before.height; y < to.height - before.height; y++)                                           \
            for (int32_t x = -before.width; x < to.width - before.width; x++, out += to.channels) {                    \
                int32_t end = 0;                                                                                       \
                if (y >= 0 && y < from.height && x >= 0 && x < from.width) {                                           \
                    end = before.channels + from.channels;                                                             \
                    fill(out, with, before.channels);                                                                  \
                    KB_COPY(out + before.channels, in, from.channels);                                                 \
                    in += from.channels;                                                                               \
                }                                                                                                      \
                fill(out + end, with, to.channels - end);                                                              \
            }                                                                                                          \
    }

/* Values read in steps. */
#define KB_STRIDED(kernel, value)                                                                                      \
    KB_KERNEL void kernel(const value *in, value *out, const kb_strided_params *p)                                     \
    {                                                                                                                  \
        const int32_t count = p->size[2], step = p->step[2];                                                           \
        for (int32_t y = 0; y < p->size[0]; y++)                                                                       \
            for (int32_t x = 0; x < p->size[1]; x++, out += count) {                                                   \
                const value *from = in + p->offset + y * p->step[0] + x * p->step[1];                                  \
                if (step == 1)                                                                                         \
                    KB_COPY(out, from, count);                                                                         \
                else                                                                                                   \
                    for (int32_t i = 0; i < count; i++)                                                                \
                        out[i] = from[i * step];                                                                       \
            }                                                                                                          \
    }

/* The same values in another shape: nothing to do in place. */
#define KB_RESHAPE(kernel, value)                                                                                      \
    KB_KERNEL void kernel(const value *in, value *out, const kb_reshape_params *p)                                     \
    {                                                                                                                  \
        if (out != in)                                                                                                 \
            KB_COPY(out, in, p->count);                                                                                \
    }

/* Row i is row (i + half / 2) * in / out of the input, columns likewise. */
#define KB_RESIZE_NEAREST(kernel, value)                                                                               \
    KB_KERNEL void kernel(const value *in, value *out, const kb_resize_nearest_params *p)                              \
    {                                                                                                                  \
        const kb_shape from = p->in, to = p->out;                                                                      \
        for (int32_t y = 0; y < to.height; y++) {                                                                      \
            const value *row = in + (2 * y + p->half) * from.height / (2 * to.height) * from.width * from.channels;    \
            for (int32_t x = 0; x < to.width; x++, out += to.channels)                                                 \
                KB_COPY(out, row + (2 * x + p->half) * from.width / (2 * to.width) * from.channels, to.channels);      \
        }                                                                                                              \
    }

#endif
