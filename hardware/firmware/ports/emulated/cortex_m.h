/* SPDX-License-Identifier: Apache-2.0 */
/* Cortex-M: vector table and cycle counter. port.c includes it. */
#ifndef KB_CORTEX_M_H
#define KB_CORTEX_M_H

#define INTERRUPTS "systick"

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

static void start_core(void)
{
#if !defined(__ARM_ARCH_6M__)
    REGISTER(0xE000ED88) |= 0xFu << 20; /* CPACR: coprocessors 10 and 11, the FPU */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
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

#endif
