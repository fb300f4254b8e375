/* SPDX-License-Identifier: Apache-2.0 */
/* A port and a model for firmware on the host: commands come from standard input, replies go to standard output. The
   model of two operators copies its input as often as KB_OUTPUT_BYTES of output need, and overwrites it. */
#include <stdio.h>
#include <stdlib.h>

#include "kb_model.h"
#include "model_config.h"
#include "port.h"

const char port_name[] = "host";

static const kb_tensor_t copied = {
    16 + INPUT_BYTES, KB_OUTPUT_BYTES, KB_OUTPUT_BYTES / (OUTPUT_DTYPE == KB_FLOAT32 ? 4 : 1), OUTPUT_DTYPE, 0.125f, 3,
};

const kb_model_t kb_model = {
    .name = "copy",
    .digest = "0123abcd",
    .ops = 2,
    .arena_bytes = KB_ARENA_BYTES,
    .input = {16, INPUT_BYTES, INPUT_BYTES, OUTPUT_DTYPE, 0.125f, 3},
    .outputs = &copied,
    .output_count = 1,
};

void kb_model_run(uint8_t *arena, kb_after_op after, void *context)
{
    uint8_t *input = arena + kb_model.input.offset, *output = arena + copied.offset;
    for (uint32_t i = 0; i < KB_OUTPUT_BYTES; i++)
        output[i] = input[i % INPUT_BYTES];
    after(0, output, KB_OUTPUT_BYTES, context);
    for (uint32_t i = 0; i < INPUT_BYTES; i++)
        input[i] = 0x5A;
    after(1, input, INPUT_BYTES, context);
}

void port_init(void)
{
}

uint8_t port_getchar(void)
{
    const int c = getchar();
    if (c == EOF)
        exit(0);
    return (uint8_t)c;
}

void port_putchar(uint8_t byte)
{
    putchar(byte);
}

/* Every call takes a cycle. */
uint64_t port_cycles(void)
{
    static uint64_t calls;
    return ++calls;
}

uint64_t port_microseconds(void)
{
    return UINT64_MAX;
}

uint32_t port_stack_peak(void)
{
    return 416;
}

uint32_t port_clock_hz(void)
{
    return UINT32_MAX;
}

const char *port_conditions(void)
{
    return "counter=none";
}

int main(void)
{
    kb_main();
    return 0;
}
