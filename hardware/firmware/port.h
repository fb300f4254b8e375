/* What differs between boards. */
#ifndef KB_PORT_H
#define KB_PORT_H

#include <stdint.h>

void port_init(void);
/* Waits for a byte. */
uint8_t port_getchar(void);
void port_putchar(uint8_t byte);
/* Core cycles since the start. To be called at least once in 2^32 cycles. */
uint64_t port_cycles(void);
uint64_t port_microseconds(void);
/* The most stack used so far, in bytes. */
uint32_t port_stack_peak(void);

extern const char port_name[];

#endif
