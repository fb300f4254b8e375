/* Runs the model under the MLPerf Tiny text protocol: commands end in '%', replies in "m-ready".

   The input lies in the arena, which an inference overwrites: it must be loaded again before the next one. Commands of our
   own: cycles% (of the last inference), output% (its raw bytes), layers% (operator, cycles and CRC-32 of all that is
   made on the way, whole maps or strips; runs one inference), check% (CRC-32 of the loaded input), stack% (peak), conditions%
   (the core's clock, and what else cycles depend on, as the board reads it back). */
#include "crc32.h"
#include "kb_model.h"
#include "model_config.h"
#include "port.h"
#include "protocol.h"

#ifndef KB_ARENA
#define KB_ARENA __attribute__((section(".arena"), aligned(16)))
#endif

static uint8_t arena[KB_ARENA_BYTES] KB_ARENA;

static uint32_t loaded, expected;
static uint64_t started, cycles;

/* Keeps the counter from wrapping unseen. */
static void after_op(uint32_t op, const void *output, uint32_t bytes, void *context)
{
    (void)op;
    (void)output;
    (void)bytes;
    (void)context;
    (void)port_cycles();
}

static void infer(void)
{
    started = port_cycles();
    kb_model_run(arena, after_op, 0);
    cycles = port_cycles() - started;
}

static void print_layer(uint32_t op, const void *output, uint32_t bytes, void *context)
{
    (void)context;
    const uint64_t spent = port_cycles() - started;
    put_text("m-layer-[");
    put_unsigned(op);
    port_putchar(',');
    put_unsigned(spent);
    port_putchar(',');
    put_hex_word(kb_crc32(0, output, bytes));
    put_text("]\r\n");
    started = port_cycles();
}

static void print_results(void)
{
    const uint8_t *output = arena + kb_model.output_offset;
    put_text("m-results-[");
    for (uint32_t i = 0; i < kb_model.output_count; i++) {
        if (i)
            port_putchar(',');
        if (kb_model.output_dtype == KB_FLOAT32)
            put_float(((const float *)(const void *)output)[i]);
        else
            put_float(kb_model.output_scale * (float)((int8_t)output[i] - kb_model.output_zero_point));
    }
    put_text("]\r\n");
}

static void print_output(void)
{
    const uint32_t size = kb_model.output_dtype == KB_FLOAT32 ? 4 : 1;
    put_text("m-output-[");
    for (uint32_t i = 0; i < kb_model.output_count * size; i++)
        put_hex_byte(arena[kb_model.output_offset + i]);
    put_text("]\r\n");
}

/* Reads hex bytes up to '%' straight into the input; `c` is the first character. */
static void load_hex(uint8_t c)
{
    int32_t high = -1;
    for (; c != '%'; c = port_getchar()) {
        const int32_t digit = hex_digit(c);
        if (digit < 0)
            continue;
        if (high < 0) {
            high = digit;
        } else {
            if (loaded < kb_model.input_bytes)
                arena[kb_model.input_offset + loaded] = (uint8_t)(high << 4 | digit);
            loaded++;
            high = -1;
        }
    }
    put_text(loaded == expected ? "m-load-done\r\n" : "m-load-more\r\n");
}

/* Reads "load N" or hex bytes after "db ". */
static void database(void)
{
    const uint8_t first = port_getchar();
    char word[12];
    if (first != 'l') {
        load_hex(first);
        return;
    }
    if (get_word(word, sizeof word) == ' ')
        get_word(word, sizeof word);
    expected = to_unsigned(word);
    loaded = 0;
    if (expected == kb_model.input_bytes) {
        put_text("m-[Expecting ");
    } else {
        put_text("e-[Input must have ");
        expected = kb_model.input_bytes;
    }
    put_unsigned(expected);
    put_text(" bytes]\r\n");
}

static void infer_command(uint8_t end)
{
    char word[12] = "1";
    if (end == ' ')
        end = get_word(word, sizeof word);
    uint32_t count = to_unsigned(word), warm_up = 0;
    if (end == ' ') {
        get_word(word, sizeof word);
        warm_up = to_unsigned(word);
    }
    put_text("m-warmup-start\r\n");
    while (warm_up--)
        infer();
    put_text("m-warmup-done\r\nm-infer-start\r\n");
    while (count--)
        infer();
    put_text("m-infer-done\r\n");
    print_results();
}

static void unsigned_reply(const char *name, uint64_t value)
{
    put_text(name);
    put_unsigned(value);
    put_line_end();
}

static void command(const char *name, uint8_t end)
{
    if (same_text(name, "name")) {
        put_text("m-name-dut-[kilobench ");
        put_text(port_name);
        put_text("]\r\n");
    } else if (same_text(name, "profile")) {
        put_text("m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[");
        put_text(kb_model.digest);
        put_text("]\r\n");
    } else if (same_text(name, "timestamp")) {
        unsigned_reply("m-lap-us-", port_microseconds());
    } else if (same_text(name, "db")) {
        database();
    } else if (same_text(name, "infer")) {
        infer_command(end);
    } else if (same_text(name, "results")) {
        print_results();
    } else if (same_text(name, "cycles")) {
        unsigned_reply("m-cycles-", cycles);
    } else if (same_text(name, "output")) {
        print_output();
    } else if (same_text(name, "layers")) {
        started = port_cycles();
        kb_model_run(arena, print_layer, 0);
    } else if (same_text(name, "check")) {
        put_text("m-check-[");
        put_hex_word(kb_crc32(0, arena + kb_model.input_offset, kb_model.input_bytes));
        put_text("]\r\n");
    } else if (same_text(name, "stack")) {
        unsigned_reply("m-stack-", port_stack_peak());
    } else if (same_text(name, "conditions")) {
        put_text("m-conditions-[clock_hz=");
        put_unsigned(port_clock_hz());
        port_putchar(',');
        put_text(port_conditions());
        put_text("]\r\n");
    } else {
        put_text("e-[Unknown command: ");
        put_text(name);
        put_text("]\r\n");
    }
}

void kb_main(void)
{
    char word[16];
    port_init();
    put_text("m-timestamp-mode-performance\r\nm-init-done\r\nm-ready\r\n");
    for (;;) {
        const uint8_t end = get_word(word, sizeof word);
        command(word, end);
        put_text("m-ready\r\n");
    }
}
