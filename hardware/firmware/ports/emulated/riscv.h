/* SPDX-License-Identifier: Apache-2.0 */
/* RISC-V: the first instructions, and the cycle counter. port.c includes it. */
#ifndef KB_RISCV_H
#define KB_RISCV_H

#define INTERRUPTS "none"

/* The emulated counter never stops; silicon may want mcountinhibit cleared. */
static void start_counter(void)
{
}

uint64_t port_cycles(void)
{
    uint32_t before, low, high;
    do
        __asm__ volatile("csrr %0, mcycleh\n csrr %1, mcycle\n csrr %2, mcycleh" : "=r"(before), "=r"(low), "=r"(high));
    while (before != high);
    return (uint64_t)high << 32 | low;
}

static void start_core(void)
{
}

__attribute__((naked, section(".vectors"), used)) static void first(void)
{
    __asm__("la sp, kb_stack_top\n j reset");
}

#endif
