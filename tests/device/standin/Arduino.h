/* SPDX-License-Identifier: Apache-2.0 */
/* As much of an Arduino core as the port uses, on the emulated boards: `Serial` is their UART. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>

class Port {
public:
    void begin(unsigned long baud);
    void end();
    void flush();
    int available();
    int read();
    size_t write(const uint8_t *bytes, size_t count);
    operator bool();
};

extern Port Serial;
extern uint32_t SystemCoreClock;

unsigned long millis();
unsigned long micros();
void delayMicroseconds(unsigned int microseconds);
void yield();
void setup();
void loop();

#ifdef ARDUINO_ARCH_ESP32
class Chip {
public:
    uint32_t getCycleCount();
    uint32_t getCpuFreqMHz();
};

extern Chip ESP;
size_t getArduinoLoopTaskStackSize();
size_t uxTaskGetStackHighWaterMark(void *task);
void disableCore0WDT();
#endif

#ifdef ARDUINO_ARCH_STM32
struct Flash {
    volatile uint32_t ACR;
};

extern Flash flash;
#define FLASH (&flash)
#define FLASH_ACR_LATENCY 0xFu
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ICEN (1u << 9)
#define FLASH_ACR_DCEN (1u << 10)
#define FLASH_ACR_ICRST (1u << 11)
#define FLASH_ACR_DCRST (1u << 12)

struct Rcc {
    volatile uint32_t CFGR;
};

extern Rcc rcc;
#define RCC (&rcc)
#define RCC_CFGR_HPRE 0xF0u
#define RCC_CFGR_HPRE_DIV8 0xA0u
#define TICK_INT_PRIORITY 0
void SystemCoreClockUpdate();
int HAL_InitTick(uint32_t priority);
void noInterrupts();
void interrupts();
#endif

#endif
