/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated boards: vector table, start-up, a two-register UART, and the core's own cycle counter. */
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

#if defined(__ARM_ARCH_6M__)
/* SysTick counts 24 bits down; its exception counts how often it wraps. */
#define SYST_CSR REGISTER(0xE000E010)
#define SYST_RVR REGISTER(0xE000E014)
#define SYST_CVR REGISTER(0xE000E018)
#define ICSR_PENDSTSET (REGISTER(0xE000ED04) >> 26 & 1)
#define RELOAD 0x00FFFFFFu

static volatile uint32_t wraps;

static void on_tick(void)
{
    wraps++;
}

static void start_counter(void)
{
    SYST_RVR = RELOAD;
    SYST_CVR = 0;
    SYST_CSR = 7;
}

uint64_t port_cycles(void)
{
    uint32_t before, now, pending;
    do {
        before = wraps;
        now = RELOAD - SYST_CVR;
        pending = ICSR_PENDSTSET && now < RELOAD / 2;
    } while (wraps != before);
    return ((uint64_t)(before + pending) << 24) + now;
}
#else
/* DWT->CYCCNT, switched on in DEMCR and DWT->CTRL. */
#define DWT_CYCCNT REGISTER(0xE0001004)

static void on_tick(void)
{
}

static void start_counter(void)
{
    REGISTER(0xE000EDFC) |= 1u << 24;
    DWT_CYCCNT = 0;
    REGISTER(0xE0001000) |= 1;
}

uint64_t port_cycles(void)
{
    static uint32_t last, wraps;
    const uint32_t now = DWT_CYCCNT;
    wraps += now < last;
    last = now;
    return (uint64_t)wraps << 32 | now;
}
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
    return "counter=emulated,flash_wait_states=0,interrupts=systick";
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
#if !defined(__ARM_ARCH_6M__)
    REGISTER(0xE000ED88) |= 0xFu << 20; /* CPACR: coprocessors 10 and 11, the FPU */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
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

/* Any fault ends here; the emulator reports faults itself. */
static void fault(void)
{
    for (;;)
        ;
}

typedef union {
    void *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = kb_stack_top}, {.handler = reset}, {.handler = fault}, {.handler = fault},
    {.handler = fault},      {.handler = fault}, {.handler = fault}, [15] = {.handler = on_tick},
};
