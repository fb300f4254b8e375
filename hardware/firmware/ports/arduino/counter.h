/* SPDX-License-Identifier: Apache-2.0 */
/* Which counter port_cycles() reads. */
#ifndef KB_COUNTER_H
#define KB_COUNTER_H

/* Starts it; the core's clock must be set up. */
void counter_start(void);
/* dwt, systick, ccount, mcycle, or micros where that does not count. */
const char *counter_name(void);

#endif
