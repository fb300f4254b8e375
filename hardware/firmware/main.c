/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the model under the MLPerf Tiny text protocol, with commands of our own: docs/protocol.md.

   The input lies in the arena, which an inference overwrites. Output and cycles are those of the first inference on an
   input, so that neither warm-ups nor repetitions change them; every reply that tells of them names the input's
   CRC-32.

   With KB_BENCHMARK, a name of MLPerf Tiny's, the model goes by it, and there are help and "db print"; with KB_VALUES
   results are the first output's values, which are shares already, or a score. With KB_FLASH_SETTINGS there is
   "flash". */
#include "crc32.h"
#include "kb_model.h"
#include "model_config.h"
#include "port.h"
#include "protocol.h"

#ifndef KB_ARENA
#define KB_ARENA __attribute__((section(".arena"), aligned(16)))
#endif

#ifdef KB_BENCHMARK
#define MODEL_NAME KB_BENCHMARK
#else
#define MODEL_NAME kb_model.digest
#endif
#define VERSION "ULPMark for tinyML Firmware V0.0.1"
#define WARM_UPS 10 /* of an infer% that does not say how many */
#define TEXT_OF(number) #number
#define AS_TEXT(number) TEXT_OF(number)

static uint8_t arena[KB_ARENA_BYTES] KB_ARENA;

static union {
    uint8_t bytes[KB_OUTPUT_BYTES];
    float values[(KB_OUTPUT_BYTES + 3) / 4];
    int32_t integers[(KB_OUTPUT_BYTES + 3) / 4];
} output;
/* Of the input: none; part of it; all of it; an inference has overwritten it, and its output is kept. */
static enum { NO_INPUT, LOADING, LOADED, INFERRED } state;
static uint32_t loaded;       /* bytes of it */
static uint32_t input_check;  /* its CRC-32, once asked for */
static uint32_t result_check; /* that of the input which output and cycles belong to */
static uint64_t started, cycles;
static uint32_t ran; /* KB_RAN_...: what the stack's peak is that of */
static char tag[12];
static uint32_t layer_count;

/* Keeps the counter from wrapping unseen. */
static void after_op(uint32_t op, const void *made, uint32_t bytes, void *context)
{
    (void)op;
    (void)made;
    (void)bytes;
    (void)context;
    (void)port_cycles();
}

KB_SMALL static void keep_outputs(void)
{
    uint8_t *to = output.bytes;
    for (uint32_t i = 0; i < kb_model.output_count; i++) {
        const uint8_t *from = arena + kb_model.outputs[i].offset;
        for (uint32_t left = kb_model.outputs[i].bytes; left; left--)
            *to++ = *from++;
    }
}

static void infer(void)
{
    started = port_cycles();
    kb_model_run(arena, after_op, 0);
    const uint64_t spent = port_cycles() - started;
    ran |= KB_RAN_INFERRED;
    if (state != LOADED)
        return;
    state = INFERRED;
    cycles = spent;
    result_check = input_check;
    keep_outputs();
}

/* Replies of our own: m-NAME-[TAG,FIELD,...]*CRC */

KB_SMALL static void open_reply(const char *name)
{
    put_text("m-");
    put_text(name);
    put_text("-[");
    put_text(tag);
}

KB_SMALL static void field(uint64_t value)
{
    put_char(',');
    put_unsigned(value);
}

KB_SMALL static void hex_field(uint32_t value)
{
    put_char(',');
    put_hex_word(value);
}

KB_SMALL static void text_field(const char *key, const char *text)
{
    put_char(',');
    put_text(key);
    put_text(text);
}

KB_SMALL static void close_reply(void)
{
    put_char(']');
    put_checked_line_end();
}

KB_SMALL static void print_error(const char *text, const char *detail)
{
    put_text("e-[");
    put_text(text);
    put_text(detail);
    put_char(']');
    put_line_end();
}

static void print_layer(uint32_t op, const void *made, uint32_t bytes, void *context)
{
    (void)context;
    const uint64_t spent = port_cycles() - started;
    open_reply("layer");
    field(layer_count++);
    field(op);
    field(spent);
    hex_field(kb_crc32(0, made, bytes));
    close_reply();
    started = port_cycles();
}

/* Whether there is what a command needs, which `what` names; else the error is sent. */
KB_SMALL static int has(const char *what, int there)
{
    if (!there)
        print_error("No ", what);
    return there;
}

KB_SMALL static void layers(void)
{
    if (!has("input", state == LOADED))
        return;
    state = NO_INPUT;
    layer_count = 0;
    started = port_cycles();
    kb_model_run(arena, print_layer, 0);
    ran |= KB_RAN_LAYERED;
    open_reply("layers");
    hex_field(input_check);
    field(layer_count);
    close_reply();
}

KB_SMALL static void check(void)
{
    if (!has("input", state == LOADED))
        return;
    input_check = kb_crc32(0, arena + kb_model.input.offset, kb_model.input.bytes);
    open_reply("check");
    hex_field(input_check);
    close_reply();
}

KB_SMALL static void identity(void)
{
    open_reply("identity");
    text_field("protocol=", AS_TEXT(KB_PROTOCOL));
    text_field("board=", port_name);
    text_field("model=", kb_model.digest);
    put_text(",clock_hz=");
    put_unsigned(port_clock_hz());
    text_field("", port_conditions());
    close_reply();
}

KB_SMALL static void cycles_of_result(void)
{
    open_reply("cycles");
    hex_field(result_check);
    field(cycles);
    close_reply();
}

KB_SMALL static void output_of_result(void)
{
    open_reply("output");
    hex_field(result_check);
    put_char(',');
    for (uint32_t i = 0; i < KB_OUTPUT_BYTES; i++)
        put_hex_byte(output.bytes[i]);
    close_reply();
}

KB_SMALL static void stack(void)
{
    open_reply("stack");
    field(port_stack_peak());
    field(ran);
    close_reply();
}

static const struct {
    const char *name;
    void (*answer)(void);
} own_commands[] = {
    {"identity", identity},       {"check", check}, {"layers", layers}, {"cycles", cycles_of_result},
    {"output", output_of_result}, {"stack", stack},
};

KB_SMALL static int own_command(const char *name)
{
    for (uint32_t i = 0; i < sizeof own_commands / sizeof *own_commands; i++) {
        if (!same_text(name, own_commands[i].name))
            continue;
        next_word(tag, sizeof tag);
        if (to_unsigned(tag) == UINT32_MAX || !at_end())
            print_error(name, " takes a number");
        else
            own_commands[i].answer();
        return 1;
    }
    return 0;
}

/* The protocol's commands */

/* Results are of the first output alone. */
#ifdef KB_VALUES
KB_SMALL static float value(uint32_t i)
{
    const kb_tensor_t *first = &kb_model.outputs[0];
    if (first->dtype == KB_FLOAT32)
        return output.values[i];
    if (first->dtype == KB_INT32)
        return (float)output.integers[i];
    return (float)((first->dtype == KB_INT8 ? (int8_t)output.bytes[i] : output.bytes[i]) - first->zero_point) *
           first->scale;
}

/* With three decimals, for the reader to compare; what is beyond four thousand million is said to be that. */
KB_SMALL static void put_value(float x)
{
    const float limit = 4e9f;
    if (x < 0.0f) {
        put_char('-');
        x = -x;
    }
    x = x < limit ? x : limit;
    const uint32_t whole = (uint32_t)x;
    const uint32_t thousandths = (uint32_t)((x - (float)whole) * 1000.0f + 0.5f);
    put_unsigned(whole + thousandths / 1000);
    put_char('.');
    put_char((uint8_t)('0' + thousandths / 100 % 10));
    put_char((uint8_t)('0' + thousandths / 10 % 10));
    put_char((uint8_t)('0' + thousandths % 10));
}

KB_SMALL static void results(void)
{
    const uint32_t count = kb_model.outputs[0].count;
    for (uint32_t i = 0; i < count; i++) {
        if (value(i) != value(i)) {
            print_error("An output is no number", "");
            return;
        }
    }
    put_text("m-results-[");
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            put_char(',');
        put_value(value(i));
    }
    put_char(']');
    put_line_end();
}
#else
#define NOT_A_NUMBER INT32_MIN

/* The logit of class `i` as an exponent of two, with 16 fractional bits; or
 * NOT_A_NUMBER. */
KB_SMALL static int32_t exponent(uint32_t i)
{
    const float per_nat = 1.44269504f * 65536.0f;
    const kb_tensor_t *first = &kb_model.outputs[0];
    float value;
    if (first->dtype == KB_FLOAT32)
        value = output.values[i] * per_nat;
    else if (first->dtype == KB_INT32)
        value = (float)output.integers[i] * per_nat;
    else
        value = (float)((first->dtype == KB_INT8 ? (int8_t)output.bytes[i] : output.bytes[i]) - first->zero_point) *
                (first->scale * per_nat);
    const float limit = 1e9f;
    const int low = value < limit;
    const int high = value > -limit;
    if (low && high)
        return (int32_t)value;
    return low || high ? (int32_t)(high ? limit : -limit) : NOT_A_NUMBER;
}

/* 2^(-x / 65536) in units of 2^-20: the integer part by shifting, the fraction by a polynomial (least squares,
   1e-4). */
KB_SMALL static uint32_t power(uint32_t x)
{
    const uint32_t f = (x & 0xFFFF) >> 1;
    const uint32_t part = 32768 - (f * (22662 - (f * (7575 - (f * 1297 >> 15)) >> 15)) >> 15);
    return x >> 16 < 32 ? part << 5 >> (x >> 16) : 0;
}

/* The shares of the classes (softmax), as the models of MLPerf Tiny end in them. */
KB_SMALL static void results(void)
{
    const uint32_t count = kb_model.outputs[0].count;
    int32_t largest = INT32_MIN;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (exponent(i) == NOT_A_NUMBER) {
            print_error("An output is no number", "");
            return;
        }
        largest = exponent(i) > largest ? exponent(i) : largest;
    }
    for (uint32_t i = 0; i < count; i++)
        sum += power((uint32_t)largest - (uint32_t)exponent(i));
    const uint32_t one = (uint32_t)(sum / 1000) + 1;
    put_text("m-results-[");
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t thousandths = (power((uint32_t)largest - (uint32_t)exponent(i)) + one / 2) / one;
        if (i)
            put_char(',');
        put_char((uint8_t)('0' + thousandths / 1000));
        put_char('.');
        put_char((uint8_t)('0' + thousandths / 100 % 10));
        put_char((uint8_t)('0' + thousandths / 10 % 10));
        put_char((uint8_t)('0' + thousandths % 10));
    }
    put_char(']');
    put_line_end();
}
#endif

KB_SMALL static void number_line(const char *name, uint64_t value)
{
    put_text(name);
    put_unsigned(value);
    put_line_end();
}

static void timestamp(void)
{
    number_line("m-lap-us-", port_microseconds());
}

#ifdef KB_BENCHMARK
static const char help[] = VERSION "\r\n"
                                   "\r\n"
                                   "help         : What you are reading\r\n"
                                   "name         : Who answers\r\n"
                                   "profile      : Which firmware, and which model\r\n"
                                   "timestamp    : Microseconds since the start\r\n"
                                   "db SUBCMD    : The input\r\n"
                                   "  load N     : Expect its N bytes\r\n"
                                   "  db HH[HH]* : The next of them, in hex\r\n"
                                   "  print      : Show them, eight a line\r\n"
                                   "infer N [W=10]\r\n"
                                   "             : W inferences on it, then N that are timed\r\n"
                                   "results      : What the first of them made\r\n";

/* Eight bytes a line, and an empty line after one of fewer, as the reference firmware has it. */
KB_SMALL static void print_input(void)
{
    const uint32_t bytes = kb_model.input.bytes;
    if (!has("input", state == LOADED))
        return;
    for (uint32_t i = 0; i < bytes; i++) {
        put_text(i % 8 ? "-" : "m-buffer-");
        put_hex_byte(arena[kb_model.input.offset + i]);
        if (i % 8 == 7 || i + 1 == bytes)
            put_line_end();
    }
    if (bytes % 8)
        put_line_end();
}
#endif

/* "load N", `word` being its first word. */
KB_SMALL static void load(char *word, uint32_t size)
{
    next_word(word, size);
    loaded = 0;
    state = to_unsigned(word) == kb_model.input.bytes && at_end() ? LOADING : NO_INPUT;
    put_text(state ? "m-[Expecting " : "e-[Input must have ");
    put_unsigned(kb_model.input.bytes);
    put_text(" bytes]");
    put_line_end();
}

/* Hex digits straight into the input; `c` is the first. A mistake ends the load. */
KB_SMALL static void load_hex(uint8_t c)
{
    const char *mistake = 0;
    int32_t high = -1;
    input_check = 0;
    for (; c && high < 16; c = next_byte()) {
        const int32_t digit = hex_digit(c);
        if (digit < 0 || high < 0) {
            high = digit < 0 ? 16 : digit;
            continue;
        }
        if (state == LOADING && loaded < kb_model.input.bytes)
            arena[kb_model.input.offset + loaded++] = (uint8_t)(high << 4 | digit);
        else
            mistake = "Too many bytes";
        high = -1;
    }
    if (high >= 0)
        mistake = high < 16 ? "Insufficient number of hex digits" : "Invalid hex digit";
    if (mistake) {
        state = NO_INPUT;
        print_error(mistake, "");
    } else if (loaded == kb_model.input.bytes) {
        state = LOADED;
        put_text("m-load-done\r\n");
    }
}

KB_SMALL static void database(void)
{
    char word[12];
    const uint8_t first = next_byte();
    if (!first) {
        print_error("Command 'db' requires a subcommand", "");
    } else if (first == 'l') {
        next_word(word, sizeof word);
        if (same_text(word, "oad"))
            load(word, sizeof word);
        else
            print_error("Unknown command: db l", word);
#ifdef KB_BENCHMARK
    } else if (first == 'p') {
        next_word(word, sizeof word);
        if (same_text(word, "rint"))
            print_input();
        else
            print_error("Unknown command: db p", word);
#endif
    } else {
        load_hex(first);
    }
}

/* The next word of the command as a number; `absent` at its end. */
KB_SMALL static uint32_t number(uint32_t absent)
{
    char word[12];
    next_word(word, sizeof word);
    return *word ? to_unsigned(word) : absent;
}

KB_SMALL static void infer_command(void)
{
    uint32_t count = number(1), warm_ups = number(WARM_UPS);
    if (!count || count == UINT32_MAX || warm_ups == UINT32_MAX || !at_end()) {
        print_error("infer takes two numbers, the first above 0", "");
        return;
    }
    if (!has("input", state >= LOADED))
        return;
    number_line("m-warmup-start-", warm_ups);
    while (warm_ups--)
        infer();
    put_text("m-warmup-done\r\n");
    number_line("m-infer-start-", count);
    timestamp();
    while (count--)
        infer();
    timestamp();
    put_text("m-infer-done\r\n");
    results();
}

#ifdef KB_FLASH_SETTINGS
KB_SMALL static void flash_command(void)
{
    next_word(tag, sizeof tag);
    const uint32_t setting = number(UINT32_MAX);
    if (to_unsigned(tag) == UINT32_MAX || setting == UINT32_MAX || !at_end()) {
        print_error("flash takes two numbers", "");
    } else if (has("such flash setting", port_flash(setting))) {
        open_reply("flash");
        field(setting);
        close_reply();
    }
}
#endif

KB_SMALL static void command(const char *name)
{
    if (same_text(name, "name")) {
        put_text("m-name-dut-[kilobench ");
        put_text(port_name);
        put_text("]\r\n");
    } else if (same_text(name, "profile")) {
        put_text("m-profile-[" VERSION "]\r\nm-model-[");
        put_text(MODEL_NAME);
        put_text("]\r\n");
    } else if (same_text(name, "timestamp")) {
        timestamp();
    } else if (same_text(name, "db")) {
        database();
#ifdef KB_BENCHMARK
    } else if (same_text(name, "help")) {
        put_text(help);
#endif
    } else if (same_text(name, "infer")) {
        infer_command();
#ifdef KB_FLASH_SETTINGS
    } else if (same_text(name, "flash")) {
        flash_command();
#endif
    } else if (same_text(name, "results")) {
        if (has("result", state == INFERRED))
            results();
    } else if (*name && !own_command(name)) {
        print_error("Unknown command: ", name);
    }
}

void kb_main(void)
{
    char word[16];
    port_init();
    put_text("m-timestamp-mode-performance\r\n");
    timestamp();
    put_text("m-init-done\r\nm-ready\r\n");
    for (;;) {
        next_word(word, sizeof word);
        command(word);
        end_command();
        put_text("m-ready");
        put_line_end();
    }
}
