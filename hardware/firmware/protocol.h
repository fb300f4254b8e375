/* Text replies of the MLPerf Tiny (EEMBC) protocol. */
#ifndef KB_PROTOCOL_H
#define KB_PROTOCOL_H

#include <stdint.h>

void put_text(const char *text);
void put_unsigned(uint64_t value);
void put_hex_byte(uint8_t value);
void put_hex_word(uint32_t value);
/* With three decimals, rounded towards zero. */
void put_float(float value);
void put_line_end(void);

/* Reads the next word of a command into `word` (at most `size` - 1 bytes, lower case kept) and returns what ended it: ' ' or '%'. */
uint8_t get_word(char *word, uint32_t size);
/* Whether two texts are equal. */
int same_text(const char *a, const char *b);
/* A decimal number, 0 for anything else. */
uint32_t to_unsigned(const char *word);
/* The value of a hex digit, or -1. */
int32_t hex_digit(uint8_t c);

#endif
