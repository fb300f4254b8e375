/* SPDX-License-Identifier: Apache-2.0 */
/* The MLPerf Tiny (EEMBC) text protocol: commands of words that end in '%', replies of lines. */
#ifndef KB_PROTOCOL_H
#define KB_PROTOCOL_H

#include <stdint.h>

/* Of our own commands, as kilobench/device/protocol.py has them too. */

/* Version. */
#define KB_PROTOCOL 1
/* What "stack" says to have run since the start: bits of a number. */
#define KB_RAN_INFERRED 1
#define KB_RAN_LAYERED 2

/* Nothing here is in a hurry: small rather than fast. */
#ifdef __clang__
#define KB_SMALL __attribute__((noinline, cold, minsize))
#else
#define KB_SMALL __attribute__((noinline, cold))
#endif

KB_SMALL void put_char(uint8_t byte);
KB_SMALL void put_text(const char *text);
KB_SMALL void put_unsigned(uint64_t value);
KB_SMALL void put_hex_byte(uint8_t value);
KB_SMALL void put_hex_word(uint32_t value);
KB_SMALL void put_line_end(void);
/* Ends a line with '*' and the CRC-32 of all that it holds before. */
KB_SMALL void put_checked_line_end(void);

/* The next byte of the command, line ends skipped; 0 at its end. */
KB_SMALL uint8_t next_byte(void);
/* The next word of the command; empty at its end. One of `size` bytes or more is cut and ends in '?', so that it is no
   number and no name. */
KB_SMALL void next_word(char *word, uint32_t size);
/* Whether nothing but spaces is left of the command; takes a byte of what is. */
KB_SMALL int at_end(void);
/* Skips what is left of the command. */
KB_SMALL void end_command(void);
/* Whether two texts are equal. */
KB_SMALL int same_text(const char *a, const char *b);
/* A decimal number below 10^9; UINT32_MAX for anything else. */
KB_SMALL uint32_t to_unsigned(const char *word);
/* The value of a hex digit, or -1. */
KB_SMALL int32_t hex_digit(uint8_t c);

#endif
