/* SPDX-License-Identifier: Apache-2.0 */
/* Wait states, caches and prefetch of STM32s whose clock has a prescaler in RCC->CFGR: their flash is set up anew to
   see what it costs. No wait states go with an eighth of the clock, which is slow enough for them on all of these.
   Names are of the vendor's headers. */
#include <Arduino.h>

#include "counter.h"
#include "port.h"

#if defined(FLASH_ACR_LATENCY) && defined(RCC_CFGR_HPRE_DIV8)

#ifdef FLASH_ACR_ICEN
#define INSTRUCTION_CACHE FLASH_ACR_ICEN
#else
#define INSTRUCTION_CACHE 0u
#endif
#ifdef FLASH_ACR_DCEN
#define DATA_CACHE FLASH_ACR_DCEN
#else
#define DATA_CACHE 0u
#endif
#ifdef FLASH_ACR_PRFTEN /* that of others, PRFTBE, must stay on where the clock is divided (RM0008, 3.3.3) */
#define PREFETCH FLASH_ACR_PRFTEN
#else
#define PREFETCH 0u
#endif

/* As the Arduino core has set it up. */
static uint32_t usual_waits, usual_divider;
static bool known;

static void divide_clock(uint32_t divider)
{
    RCC->CFGR = (RCC->CFGR & ~RCC_CFGR_HPRE) | divider;
    while ((RCC->CFGR & RCC_CFGR_HPRE) != divider)
        ;
}

/* Caches may be emptied only while they are off. */
static void set_flash(uint32_t waits, uint32_t on)
{
    const uint32_t off = FLASH->ACR & ~(FLASH_ACR_LATENCY | INSTRUCTION_CACHE | DATA_CACHE | PREFETCH);
    FLASH->ACR = off | waits;
    while ((FLASH->ACR & FLASH_ACR_LATENCY) != waits)
        ;
#ifdef FLASH_ACR_ICRST
    FLASH->ACR = off | waits | FLASH_ACR_ICRST;
    FLASH->ACR = off | waits;
#endif
#ifdef FLASH_ACR_DCRST
    FLASH->ACR = off | waits | FLASH_ACR_DCRST;
    FLASH->ACR = off | waits;
#endif
    FLASH->ACR = off | waits | on;
}

int port_flash(uint32_t setting)
{
    const uint32_t waits = setting & KB_FLASH_WAITS;
    const uint32_t on = (setting & KB_FLASH_INSTRUCTION_CACHE ? INSTRUCTION_CACHE : 0) |
                        (setting & KB_FLASH_DATA_CACHE ? DATA_CACHE : 0) | (setting & KB_FLASH_PREFETCH ? PREFETCH : 0);
    if (!known) {
        known = true;
        usual_waits = FLASH->ACR & FLASH_ACR_LATENCY;
        usual_divider = RCC->CFGR & RCC_CFGR_HPRE;
    }
    if (waits && waits != usual_waits)
        return 0;
    Serial.flush();
    noInterrupts();
    if (!waits)
        divide_clock(RCC_CFGR_HPRE_DIV8);
    set_flash(waits, on);
    if (waits)
        divide_clock(usual_divider);
    interrupts();
    SystemCoreClockUpdate();
    HAL_InitTick(TICK_INT_PRIORITY);
    Serial.end();
    Serial.begin(KB_BAUD);
    counter_start();
    return 1;
}

#else

int port_flash(uint32_t)
{
    return 0;
}

#endif
