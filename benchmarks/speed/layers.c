/* SPDX-License-Identifier: Apache-2.0 */
/* On a board: reads the number of a model (four hex digits), runs it on its input and sends a line with the cycles of
   its last operator and the CRC-32 of its output. */
#include "batch.h"
#include "crc32.h"
#include "fuzz.h"
#include "port.h"
#include "protocol.h"

static uint8_t arena[FUZZ_ARENA_BYTES] __attribute__((section(".arena"), aligned(16)));
static uint64_t started, spent;

static void after_op(uint32_t op, const void *made, uint32_t bytes, void *model)
{
    (void)made;
    (void)bytes;
    const uint64_t now = port_cycles();
    if (op + 1 == ((const kb_model_t *)model)->ops)
        spent += now - started;
    started = port_cycles();
}

void kb_main(void)
{
    port_init();
    for (;;) {
        uint32_t number = 0;
        for (int32_t digit = 0; digit < 4; digit++)
            number = number << 4 | (uint32_t)hex_digit(port_getchar());
        const fuzz_model *m = &fuzz_models[number];
        kb_model_t described = *m->model;
        for (uint32_t i = 0; i < described.input.bytes; i++)
            arena[described.input.offset + i] = m->inputs[i];
        spent = 0;
        started = port_cycles();
        m->run(arena, after_op, &described);
        put_unsigned(spent);
        put_char(' ');
        put_hex_word(kb_crc32(0, arena + described.outputs[0].offset, m->output_bytes));
        put_line_end();
    }
}
