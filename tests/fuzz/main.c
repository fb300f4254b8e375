/* SPDX-License-Identifier: Apache-2.0 */
/* On a board: reads the number of a model (four hex digits), runs it on its inputs and sends a line with the CRC-32 of
   each output, or "overrun". */
#include "batch.h"
#include "crc32.h"
#include "fuzz.h"
#include "port.h"
#include "protocol.h"

static uint8_t memory[FUZZ_ARENA_BYTES + 2 * FUZZ_GUARD] __attribute__((section(".arena"), aligned(16)));

void kb_main(void)
{
    for (;;) {
        uint32_t model = 0;
        for (int32_t digit = 0; digit < 4; digit++)
            model = model << 4 | (uint32_t)hex_digit(port_getchar());
        for (uint32_t input = 0; input < FUZZ_INPUTS; input++) {
            const uint8_t *output = fuzz_run(model, input, 0xAA, memory);
            if (output)
                put_hex_word(kb_crc32(0, output, fuzz_models[model].output_bytes));
            else
                put_text("overrun");
            put_text(input + 1 < FUZZ_INPUTS ? " " : "\n");
        }
    }
}
