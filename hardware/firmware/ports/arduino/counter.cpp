/* SPDX-License-Identifier: Apache-2.0 */
/* Cycles of the core on an Arduino board, by the counter that the core has; by micros() where it has none that
   counts. */
#include "counter.h"

#include <Arduino.h>

#include "port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#if defined(ARDUINO_ARCH_ESP32)
#ifdef __riscv
#define NAME "mcycle"
#else
#define NAME "ccount"
#endif

static void start(void)
{
}

static uint64_t count(void)
{
    return ESP.getCycleCount();
}

#define COUNTER_BITS 32
#elif defined(__riscv)
#define NAME "mcycle"
#define COUNTER_BITS 32

static void start(void)
{
}

static uint64_t count(void)
{
    uint32_t cycles;
    __asm__ volatile("csrr %0, mcycle" : "=r"(cycles));
    return cycles;
}

#elif defined(__ARM_ARCH_6M__) && defined(ARDUINO_ARCH_RP2040) && !defined(ARDUINO_ARCH_MBED)
/* The Arduino core lets SysTick run over its 24 bits, and extends it. */
#define NAME "systick"
#define COUNTER_BITS 64

static void start(void)
{
}

static uint64_t count(void)
{
    return rp2040.getCycleCount64();
}

#elif defined(__ARM_ARCH_6M__)
/* SysTick counts down once a millisecond and is the Arduino core's; millis() counts its wraps. It is only read here. */
#define NAME "systick"
#define COUNTER_BITS 64
#define SYST_CSR REGISTER(0xE000E010)
#define SYST_RVR REGISTER(0xE000E014)
#define SYST_CVR REGISTER(0xE000E018)
#define WRAP_PENDS (REGISTER(0xE000ED04) >> 26 & 1)

static uint32_t period;

static void start(void)
{
    if ((SYST_CSR & 5) == 5 && SYST_RVR + 1 == port_clock_hz() / 1000)
        period = SYST_RVR + 1;
}

static uint64_t count(void)
{
    uint32_t before, left, pends;
    do {
        before = millis();
        left = SYST_CVR;
        pends = WRAP_PENDS; /* its exception has not counted the last wrap yet, */
    } while (before != millis());
    if (left < period / 2)
        pends = 0; /* or that came after `left` was read */
    return period ? (uint64_t)(before + pends) * period + (period - 1 - left) : 0;
}

#else
/* DWT->CYCCNT, switched on in DEMCR and DWT->CTRL; the M7's has a lock. */
#define NAME "dwt"
#define COUNTER_BITS 32
#define DWT_CYCCNT REGISTER(0xE0001004)

static void start(void)
{
    REGISTER(0xE000EDFC) |= 1u << 24;
    if ((REGISTER(0xE000ED00) >> 4 & 0xFFF) == 0xC27)
        REGISTER(0xE0001FB0) = 0xC5ACCE55;
    REGISTER(0xE0001000) |= 1;
}

static uint64_t count(void)
{
    return DWT_CYCCNT;
}
#endif

static uint32_t per_microsecond;
static bool counting;

void counter_start(void)
{
    per_microsecond = port_clock_hz() / 1000000;
    start();
    const uint64_t before = count();
    delayMicroseconds(10);
    counting = count() != before;
}

const char *counter_name(void)
{
    return counting ? NAME : "micros";
}

uint64_t port_cycles(void)
{
    if (!counting)
        return port_microseconds() * per_microsecond;
#if COUNTER_BITS == 64
    return count();
#else
    static uint32_t last, wraps;
    const uint32_t now = (uint32_t)count();
    wraps += now < last;
    last = now;
    return (uint64_t)wraps << 32 | now;
#endif
}

uint64_t port_microseconds(void)
{
    static uint32_t last, wraps;
    const uint32_t now = micros();
    wraps += now < last;
    last = now;
    return (uint64_t)wraps << 32 | now;
}
