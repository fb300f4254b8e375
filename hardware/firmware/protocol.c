#include "protocol.h"

#include "port.h"

void put_text(const char *text)
{
    while (*text)
        port_putchar((uint8_t)*text++);
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
    port_putchar((uint8_t)digits[value >> 4]);
    port_putchar((uint8_t)digits[value & 15]);
}

void put_hex_word(uint32_t value)
{
    for (int32_t shift = 24; shift >= 0; shift -= 8)
        put_hex_byte((uint8_t)(value >> shift));
}

void put_float(float value)
{
    if (value < 0.0f) {
        port_putchar('-');
        value = -value;
    }
    if (value > 4000000.0f)
        value = 4000000.0f;
    const uint32_t thousandths = (uint32_t)(value * 1000.0f);
    put_unsigned(thousandths / 1000);
    port_putchar('.');
    port_putchar((uint8_t)('0' + thousandths / 100 % 10));
    port_putchar((uint8_t)('0' + thousandths / 10 % 10));
    port_putchar((uint8_t)('0' + thousandths % 10));
}

void put_line_end(void)
{
    put_text("\r\n");
}

uint8_t get_word(char *word, uint32_t size)
{
    uint32_t length = 0;
    for (;;) {
        const uint8_t c = port_getchar();
        if (c == '\r' || c == '\n')
            continue;
        if (c == ' ' || c == '%') {
            word[length] = 0;
            return c;
        }
        if (length + 1 < size)
            word[length++] = (char)c;
    }
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
    for (; *word >= '0' && *word <= '9'; word++)
        value = value * 10 + (uint32_t)(*word - '0');
    return *word ? 0 : value;
}

int32_t hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
