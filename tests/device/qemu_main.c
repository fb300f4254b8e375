/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the model on the inputs of inputs.h on QEMU's mps2-an386 (a Cortex-M4). Writes the CRC-32 of every operator's
   output in hex, a line for each input. */
#include <stdint.h>

#include "crc32.h"
#include "inputs.h"
#include "kb_model.h"
#include "model_config.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART_DATA REGISTER(0x40004000) /* CMSDK UART 0 */
#define UART_STATE REGISTER(0x40004004) /* bit 0: the transmitter is full */
#define UART_CONTROL REGISTER(0x40004008)
#define UART_DIVIDER REGISTER(0x40004010)

extern uint32_t kb_stack_top[];
static uint8_t arena[KB_ARENA_BYTES] __attribute__((section(".arena"), aligned(16)));

static void put(char c)
{
    while (UART_STATE & 1)
        ;
    UART_DATA = (uint8_t)c;
}

static void put_checksum(uint32_t op, const void *output, uint32_t bytes, void *context)
{
    const uint32_t crc = kb_crc32(0, output, bytes);
    (void)op;
    (void)context;
    for (int32_t shift = 28; shift >= 0; shift -= 4)
        put("0123456789abcdef"[crc >> shift & 15]);
}

static void leave(void)
{
    register uint32_t operation __asm__("r0") = 0x18, reason __asm__("r1") = 0x20026; /* semihosting: exit, as wished */
    __asm__ volatile("bkpt 0xAB" ::"r"(operation), "r"(reason));
}

__attribute__((noreturn, used)) static void reset(void)
{
    REGISTER(0xE000ED88) |= 0xFu << 20; /* CPACR: the FPU */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    UART_DIVIDER = 16;
    UART_CONTROL = 1;
    for (uint32_t n = 0; n < INPUTS; n++) {
        for (uint32_t i = 0; i < kb_model.input.bytes; i++)
            arena[kb_model.input.offset + i] = inputs[n * kb_model.input.bytes + i];
        kb_model_run(arena, put_checksum, 0);
        put('\n');
    }
    for (;;)
        leave();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {kb_stack_top, (void *)reset,
                                                                                   [2 ... 15] = (void *)leave};
