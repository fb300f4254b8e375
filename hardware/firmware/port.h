/* What differs between boards. */
#ifndef KB_PORT_H
#define KB_PORT_H

#include <stdint.h>

void port_init(void);
/* Waits for a byte. */
uint8_t port_getchar(void);
void port_putchar(uint8_t byte);
/* A counter of core cycles that runs upwards and wraps where port_cycle_mask ends. */
uint32_t port_cycles(void);
/* The most stack used so far, in bytes. */
uint32_t port_stack_peak(void);

extern const uint32_t port_cycle_mask;
extern const char port_name[];

#endif
