/* SPDX-License-Identifier: Apache-2.0 */
/* Boards with an Arduino core: `Serial` carries the protocol, the core has set up clock, flash and caches. */
#include <Arduino.h>

#include "board_config.h"
#include "counter.h"
#include "port.h"

#define PAINT 0xA5A5A5A5u
#define PAINTED_BYTES 3072

const char port_name[] = KB_BOARD_NAME;

/* Replies are sent by the line: USB takes a packet for every write. */
static uint8_t pending[64];
static uint32_t pending_count;

static void flush_pending(void)
{
    if (pending_count)
        Serial.write(pending, pending_count);
    pending_count = 0;
}

void port_putchar(uint8_t byte)
{
    pending[pending_count++] = byte;
    if (byte == '\n' || pending_count == sizeof pending)
        flush_pending();
}

uint8_t port_getchar(void)
{
    flush_pending();
    while (Serial.available() <= 0)
        yield();
    return (uint8_t)Serial.read();
}

#if defined(ARDUINO_ARCH_ESP32)
/* FreeRTOS paints the stack of the task that calls loop(). */
static void paint_stack(void)
{
    disableCore0WDT(); /* an inference of more than 5 s is no hang */
}

uint32_t port_stack_peak(void)
{
    return (uint32_t)(getArduinoLoopTaskStackSize() - uxTaskGetStackHighWaterMark(NULL));
}
#elif defined(__arm__)
extern "C" void *_sbrk(ptrdiff_t bytes);

static uint32_t *painted, *stack_top;

/* From the heap's end, or PAINTED_BYTES, to a little below this frame. Interrupts that use the same stack are in the
   peak. */
static void paint_stack(void)
{
    stack_top = (uint32_t *)__builtin_frame_address(0);
    uint32_t *limit = stack_top - 32;
    const uintptr_t heap = ((uintptr_t)_sbrk(0) + 64) & ~(uintptr_t)3;
    painted = stack_top - PAINTED_BYTES / 4;
    if (heap < (uintptr_t)limit && heap > (uintptr_t)painted)
        painted = (uint32_t *)heap;
    for (volatile uint32_t *word = painted; word < limit; word++)
        *word = PAINT;
}

uint32_t port_stack_peak(void)
{
    const uint32_t *word = painted;
    while (word < stack_top && *word == PAINT)
        word++;
    return (uint32_t)((const uint8_t *)stack_top - (const uint8_t *)word);
}
#else
static void paint_stack(void)
{
}

uint32_t port_stack_peak(void)
{
    return 0;
}
#endif

void port_init(void)
{
    paint_stack();
    counter_start();
    while (!Serial)
        yield();
}

void setup()
{
    Serial.begin(KB_BAUD);
}

void loop()
{
    kb_main();
}
