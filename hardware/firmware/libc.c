/* SPDX-License-Identifier: Apache-2.0 */
/* The three functions that compilers call on their own; there is no libc. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    while (count--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    if (t <= f)
        return memcpy(to, from, count);
    while (count--)
        t[count] = f[count];
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *t = to;
    while (count--)
        *t++ = (uint8_t)value;
    return to;
}
