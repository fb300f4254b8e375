/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol.h"

#include "crc32.h"
#include "port.h"

#define LARGEST 999999999u /* of all numbers, far from where they wrap */

static uint32_t line_check; /* CRC-32 of the line so far */
static uint8_t command_ended;

void put_char(uint8_t byte)
{
    line_check = byte == '\n' ? 0 : kb_crc32(line_check, &byte, 1);
    port_putchar(byte);
}

void put_text(const char *text)
{
    while (*text)
        put_char((uint8_t)*text++);
}

void put_unsigned(uint64_t value)
{
    char digits[21];
    uint32_t i = sizeof digits;
    digits[--i] = 0;
    do {
        digits[--i] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put_text(digits + i);
}

void put_hex_byte(uint8_t value)
{
    static const char digits[] = "0123456789abcdef";
    put_char((uint8_t)digits[value >> 4]);
    put_char((uint8_t)digits[value & 15]);
}

void put_hex_word(uint32_t value)
{
    for (int32_t shift = 24; shift >= 0; shift -= 8)
        put_hex_byte((uint8_t)(value >> shift));
}

void put_line_end(void)
{
    put_text("\r\n");
}

void put_checked_line_end(void)
{
    const uint32_t check = line_check;
    put_char('*');
    put_hex_word(check);
    put_line_end();
}

uint8_t next_byte(void)
{
    while (!command_ended) {
        const uint8_t c = port_getchar();
        if (c == '%')
            command_ended = 1;
        else if (c && c != '\r' && c != '\n')
            return c;
    }
    return 0;
}

void next_word(char *word, uint32_t size)
{
    uint32_t length = 0;
    for (uint8_t c = next_byte(); c; c = next_byte()) {
        if (c != ' ') {
            if (length + 1 < size)
                word[length++] = (char)c;
            else
                word[length - 1] = '?';
        } else if (length) {
            break;
        }
    }
    word[length] = 0;
}

int at_end(void)
{
    uint8_t c;
    do
        c = next_byte();
    while (c == ' ');
    return !c;
}

void end_command(void)
{
    while (next_byte())
        ;
    command_ended = 0;
}

int same_text(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

uint32_t to_unsigned(const char *word)
{
    uint32_t value = 0;
    if (!*word)
        return UINT32_MAX;
    for (; *word >= '0' && *word <= '9' && value <= LARGEST / 10; word++)
        value = value * 10 + (uint32_t)(*word - '0');
    return *word ? UINT32_MAX : value;
}

int32_t hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
