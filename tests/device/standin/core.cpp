/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in's start-up and functions. SysTick ticks once a millisecond, as in most Arduino cores, if TICK_HZ is
   1000. */
#include "Arduino.h"

#ifndef TICK_HZ
#define TICK_HZ 1000
#endif

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART_DATA REGISTER(0x4FFFF000)
#define UART_STATUS REGISTER(0x4FFFF004)

extern "C" {
extern uint32_t kb_stack_bottom[], kb_stack_top[], kb_data_start[], kb_data_end[], kb_data_image[], kb_bss_start[],
    kb_bss_end[];

/* The heap's end, above which the stack may grow. */
void *_sbrk(ptrdiff_t)
{
    return kb_stack_bottom;
}
}

Port Serial;
uint32_t SystemCoreClock;

void Port::begin(unsigned long)
{
}

void Port::end()
{
}

void Port::flush()
{
}

int Port::available()
{
    return (int)(UART_STATUS & 1);
}

int Port::read()
{
    return (int)UART_DATA;
}

size_t Port::write(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        UART_DATA = bytes[i];
    return count;
}

Port::operator bool()
{
    return true;
}

static volatile uint32_t ticks;

unsigned long millis()
{
    return ticks;
}

unsigned long micros()
{
    return ticks * 1000;
}

void delayMicroseconds(unsigned int microseconds)
{
    for (volatile uint32_t i = 0; i < microseconds; i++)
        ;
}

void yield()
{
}

#ifdef ARDUINO_ARCH_STM32
Flash flash = {0x704};
Rcc rcc = {3};

void SystemCoreClockUpdate()
{
    SystemCoreClock = CLOCK_HZ >> ((rcc.CFGR & RCC_CFGR_HPRE) == RCC_CFGR_HPRE_DIV8 ? 3 : 0);
}

int HAL_InitTick(uint32_t)
{
    return 0;
}

void noInterrupts()
{
}

void interrupts()
{
}
#endif

extern "C" __attribute__((noreturn, used)) void reset()
{
#ifndef __ARM_ARCH_6M__
    REGISTER(0xE000ED88) |= 0xFu << 20;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    const uint32_t *from = kb_data_image;
    for (volatile uint32_t *to = kb_data_start; to < kb_data_end; to++)
        *to = *from++;
    for (volatile uint32_t *word = kb_bss_start; word < kb_bss_end; word++)
        *word = 0;
    SystemCoreClock = CLOCK_HZ;
#ifdef __ARM_ARCH_6M__
    REGISTER(0xE000E014) = CLOCK_HZ / TICK_HZ - 1;
    REGISTER(0xE000E018) = 0;
    REGISTER(0xE000E010) = 7;
#endif
    setup();
    for (;;)
        loop();
}

static void tick()
{
    ticks = ticks + 1;
}

static void fault()
{
    for (;;)
        ;
}

union vector {
    const void *stack;
    void (*handler)();
};

extern const vector vectors[16];

__attribute__((section(".vectors"), used)) const vector vectors[16] = {
    {.stack = kb_stack_top}, {.handler = reset}, {.handler = fault}, {.handler = fault},
    {.handler = fault},      {.handler = fault}, {.handler = fault}, {.handler = fault},
    {.handler = fault},      {.handler = fault}, {.handler = fault}, {.handler = fault},
    {.handler = fault},      {.handler = fault}, {.handler = fault}, {.handler = tick},
};
