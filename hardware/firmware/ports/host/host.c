/* SPDX-License-Identifier: Apache-2.0 */
/* The model as a shared library of the host: whole test sets, one arena per thread. */
#include "crc32.h"
#include "kb_model.h"

static void copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = from[i];
}

const kb_model_t *kb_host_model(void)
{
    return &kb_model;
}

/* `count` inputs in a row to the raw outputs of each in a row. */
void kb_host_run(uint8_t *arena, const uint8_t *inputs, uint8_t *outputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        copy(arena + kb_model.input.offset, inputs + (uint64_t)i * kb_model.input.bytes, kb_model.input.bytes);
        kb_model_run(arena, 0, 0);
        for (uint32_t j = 0; j < kb_model.output_count; j++) {
            copy(outputs, arena + kb_model.outputs[j].offset, kb_model.outputs[j].bytes);
            outputs += kb_model.outputs[j].bytes;
        }
    }
}

typedef struct {
    uint32_t capacity, count;
    uint32_t *ops, *checksums;
} parts;

static void checksum(uint32_t op, const void *output, uint32_t bytes, void *context)
{
    parts *p = context;
    if (p->count < p->capacity) {
        p->ops[p->count] = op;
        p->checksums[p->count] = kb_crc32(0, output, bytes);
    }
    p->count++;
}

/* Operator and CRC-32 of everything that is made on the way, in order, for one input; how many there are. */
uint32_t kb_host_checksums(uint8_t *arena, const uint8_t *input, uint32_t capacity, uint32_t *ops, uint32_t *checksums)
{
    parts p = {capacity, 0, ops, checksums};
    copy(arena + kb_model.input.offset, input, kb_model.input.bytes);
    kb_model_run(arena, checksum, &p);
    return p.count;
}
