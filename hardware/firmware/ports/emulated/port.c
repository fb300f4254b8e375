/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated boards: start-up and a two-register UART. Where the core begins and what counts its cycles is in the
   header of its architecture. */
#include "port.h"

#include "board_config.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART_DATA REGISTER(0x4FFFF000)   /* write: send a byte; read: the next one received */
#define UART_STATUS REGISTER(0x4FFFF004) /* bit 0: a received byte waits */
#define PAINT 0xA5A5A5A5u

/* From the linker script. */
extern uint32_t kb_stack_bottom[], kb_stack_top[];
extern uint32_t kb_data_start[], kb_data_end[], kb_data_image[], kb_bss_start[], kb_bss_end[];

const char port_name[] = KB_BOARD_NAME;

static void reset(void);

#ifdef __riscv
#include "riscv.h"
#else
#include "cortex_m.h"
#endif

uint64_t port_microseconds(void)
{
    return port_cycles() / (KB_CLOCK_HZ / 1000000);
}

uint32_t port_clock_hz(void)
{
    return KB_CLOCK_HZ;
}

const char *port_conditions(void)
{
    return "counter=emulated,flash_wait_states=0,interrupts=" INTERRUPTS;
}

void port_init(void)
{
    start_counter();
}

uint8_t port_getchar(void)
{
    while (!(UART_STATUS & 1))
        ;
    return (uint8_t)UART_DATA;
}

void port_putchar(uint8_t byte)
{
    UART_DATA = byte;
}

uint32_t port_stack_peak(void)
{
    const uint32_t *word = kb_stack_bottom;
    while (word < kb_stack_top && *word == PAINT)
        word++;
    return (uint32_t)((const uint8_t *)kb_stack_top - (const uint8_t *)word);
}

/* Everything below the frame of reset() is painted; reset() itself needs little and never returns. */
__attribute__((noreturn, used)) static void reset(void)
{
    start_core();
    uint32_t *limit = (uint32_t *)__builtin_frame_address(0) - 16;
    for (volatile uint32_t *word = kb_stack_bottom; word < limit; word++)
        *word = PAINT;
    const uint32_t *from = kb_data_image;
    for (volatile uint32_t *to = kb_data_start; to < kb_data_end; to++)
        *to = *from++;
    for (volatile uint32_t *word = kb_bss_start; word < kb_bss_end; word++)
        *word = 0;
    kb_main();
    for (;;)
        ;
}
