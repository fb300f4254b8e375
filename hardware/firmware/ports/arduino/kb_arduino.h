/* SPDX-License-Identifier: Apache-2.0 */
/* Included before all sources of an Arduino build: other linker scripts than kilobench's know no sections of ours. */
#ifndef KB_ARDUINO_H
#define KB_ARDUINO_H

#define KB_FLASH_SETTINGS
#define KB_BAUD 115200

#ifdef __IMXRT1062__ /* Teensy 4 copies all constants to RAM, but for this section */
#define KB_WEIGHTS __attribute__((section(".progmem"), aligned(16)))
#else
#define KB_WEIGHTS __attribute__((aligned(16)))
#endif
#define KB_ARENA __attribute__((aligned(16)))

#endif
