/* SPDX-License-Identifier: Apache-2.0 */
/* One inference. On a host: of the raw bytes of a file, or of zeros, and prints all outputs. Without an operating
   system: of zeros; the outputs are in the arena. */
#include "kb_model.h"
#include "model_config.h"

#if __STDC_HOSTED__
#include <stdio.h>
#endif

static union {
    uint8_t bytes[KB_ARENA_BYTES];
    uint64_t aligned[2];
} arena __attribute__((aligned(16)));

static uint32_t bytes_per_value(const kb_tensor_t *t)
{
    return t->bytes / t->count;
}

/* What stands for 0.0 in the input. */
static void clear(const kb_tensor_t *t)
{
    for (uint32_t i = 0; i < t->bytes; i++) {
        const uint32_t value = t->dtype == KB_FLOAT32 ? 0 : (uint32_t)t->zero_point;
        arena.bytes[t->offset + i] = (uint8_t)(value >> 8 * (i % bytes_per_value(t)));
    }
}

#if __STDC_HOSTED__
static double value_at(const kb_tensor_t *t, uint32_t i)
{
    const void *from = arena.bytes + t->offset;
    switch (t->dtype) {
    case KB_FLOAT32:
        return ((const float *)from)[i];
    case KB_INT8:
        return ((const int8_t *)from)[i];
    case KB_UINT8:
        return ((const uint8_t *)from)[i];
    case KB_INT16:
        return ((const int16_t *)from)[i];
    case KB_INT32:
        return ((const int32_t *)from)[i];
    default:
        return ((const uint32_t *)from)[i];
    }
}

static int read_input(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s cannot be opened\n", path);
        return 0;
    }
    const size_t wanted = kb_model.input.bytes, got = fread(arena.bytes + kb_model.input.offset, 1, wanted, file);
    const int more = fgetc(file) != EOF;
    fclose(file);
    if (got != wanted || more)
        fprintf(stderr, "%s has not %lu bytes\n", path, (unsigned long)wanted);
    return got == wanted && !more;
}

static void print(uint32_t number)
{
    const kb_tensor_t *t = &kb_model.outputs[number];
    for (uint32_t i = 0; i < t->count; i++)
        printf("output %lu [%lu] = %.9g\n", (unsigned long)number, (unsigned long)i, value_at(t, i));
}

int main(int count, char **words)
{
    clear(&kb_model.input);
    if (count > 1 && !read_input(words[1]))
        return 1;
    kb_model_run(arena.bytes, 0, 0);
    for (uint32_t i = 0; i < kb_model.output_count; i++)
        print(i);
    return 0;
}
#else
int main(void)
{
    clear(&kb_model.input);
    kb_model_run(arena.bytes, 0, 0);
    return 0;
}
#endif
