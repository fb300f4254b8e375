/* SPDX-License-Identifier: Apache-2.0 */
/* What cycles depend on, read back from the registers of the board that runs. */
#include <Arduino.h>

#include "counter.h"
#include "port.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

uint32_t port_clock_hz(void)
{
#if defined(ARDUINO_ARCH_ESP32)
    return ESP.getCpuFreqMHz() * 1000000u;
#elif defined(ARDUINO_ARCH_RP2040) && !defined(ARDUINO_ARCH_MBED)
    return (uint32_t)rp2040.f_cpu();
#elif defined(__IMXRT1062__) /* Teensy 4 */
    return F_CPU_ACTUAL;
#elif defined(FLASH_ACR_LATENCY) /* STM32: computed from the registers */
    SystemCoreClockUpdate();
    return SystemCoreClock;
#elif defined(__arm__) /* CMSIS: as the Arduino core left it */
    return SystemCoreClock;
#else
    return F_CPU;
#endif
}

static char text[200];
static uint32_t length;

static void add(const char *part)
{
    while (*part && length + 1 < sizeof text)
        text[length++] = *part++;
    text[length] = 0;
}

/* Boards without registers of interest use neither. */
__attribute__((unused)) static void add_number(const char *key, uint32_t value, uint32_t base)
{
    char digits[11];
    uint32_t i = sizeof digits - 1;
    digits[i] = 0;
    do {
        digits[--i] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    add(key);
    add(digits + i);
}

__attribute__((unused)) static void add_switch(const char *key, bool on)
{
    add(key);
    add(on ? "on" : "off");
}

/* The core by its own word: the part number in CPUID; and the switches of an M7's caches. */
static void add_core(void)
{
#ifdef __arm__
    const uint32_t part = REGISTER(0xE000ED00) >> 4 & 0xFFF;
    add_number(",core=0x", part, 16);
    if (part == 0xC27) {
        add_switch(",l1_instruction=", REGISTER(0xE000ED14) >> 17 & 1);
        add_switch(",l1_data=", REGISTER(0xE000ED14) >> 16 & 1);
    }
#endif
}

/* What the flash controllers of the families have; names are of the vendors' headers. */
static void add_flash(void)
{
#ifdef FLASH_ACR_LATENCY /* STM32 */
    const uint32_t acr = FLASH->ACR;
    add_number(",flash_acr=0x", acr, 16);
    add_number(",flash_wait_states=", acr & FLASH_ACR_LATENCY, 10);
#ifdef FLASH_ACR_PRFTEN
    add_switch(",prefetch=", acr & FLASH_ACR_PRFTEN);
#elif defined(FLASH_ACR_PRFTBE)
    add_switch(",prefetch=", acr & FLASH_ACR_PRFTBE);
#endif
#ifdef FLASH_ACR_ICEN
    add_switch(",flash_instruction_cache=", acr & FLASH_ACR_ICEN);
#endif
#ifdef FLASH_ACR_DCEN
    add_switch(",flash_data_cache=", acr & FLASH_ACR_DCEN);
#endif
#ifdef FLASH_ACR_ARTEN
    add_switch(",art=", acr & FLASH_ACR_ARTEN);
#endif
#ifdef ICACHE
    add_switch(",icache=", ICACHE->CR & 1);
#endif
#endif
#ifdef NVMC_ICACHECNF_CACHEEN_Msk /* nRF52 */
    add_switch(",icache=", NRF_NVMC->ICACHECNF & NVMC_ICACHECNF_CACHEEN_Msk);
#endif
#ifdef CMCC_SR_CSTS /* SAMD51 */
    add_switch(",cmcc=", CMCC->SR.reg & CMCC_SR_CSTS);
#endif
}

const char *port_conditions(void)
{
    length = 0;
    add("counter=");
    add(counter_name());
    add_core();
    add_flash();
    add(",interrupts=on");
    return text;
}
