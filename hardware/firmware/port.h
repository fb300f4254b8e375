/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between boards. */
#ifndef KB_PORT_H
#define KB_PORT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void port_init(void);
/* Waits for a byte. */
uint8_t port_getchar(void);
void port_putchar(uint8_t byte);
/* Core cycles since the start. To be called at least once in 2^32 cycles. */
uint64_t port_cycles(void);
uint64_t port_microseconds(void);
/* The most stack used so far, in bytes; 0 where that is unknown. */
uint32_t port_stack_peak(void);
/* The core's clock as its registers have it, not as it was wished for. */
uint32_t port_clock_hz(void);
/* What else cycles depend on, as "key=value,...": counter, core, flash wait states, caches, interrupts. */
const char *port_conditions(void);

#ifdef KB_FLASH_SETTINGS
/* Sets up the flash as bits say, with no wait states an eighth of the clock, too; 0 where that is not possible here. */
#define KB_FLASH_WAITS 15u
#define KB_FLASH_INSTRUCTION_CACHE 16u
#define KB_FLASH_DATA_CACHE 32u
#define KB_FLASH_PREFETCH 64u
int port_flash(uint32_t setting);
#endif

extern const char port_name[];

/* The firmware itself: never returns. The port's start-up calls it. */
void kb_main(void);

#ifdef __cplusplus
}
#endif

#endif
