/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the cycles of executed basic blocks: the native form of the hook in counter.py, with the same sums; and, where
   it is told of a flash, what the core waits for it (docs/timing.md), which only this form can.

   The emulator calls kb_block for every block, and kb_read for every read of data from that flash, which kb_page has
   put where no memory is: so reads of RAM cost nothing. Known blocks cost a look-up, as a rule one comparison: a
   block's slot is that of its address. Unknown ones are priced by `decode`. Nothing of the C library is used, which zig
   would have to compile first. */
#include <stdint.h>

#define CAPACITY (1u << 16)

typedef struct {
    uint32_t address, size; /* size 0: free */
    uint32_t always, entry; /* half cycles */
    uint32_t instructions;
    uint32_t backward, late; /* the branch that ends it, if it may be predicted; whether not so behind a jump */
} slot;

#define MISPREDICTED 2 /* half cycles, as in blocks.py */

#define MOST_LINES (1u << 12)

/* A cache, or a buffer of one line: ways of a set lie side by side; the one that was used longest ago is replaced. */
typedef struct {
    uint32_t shift; /* of an address, to the number of its line */
    uint32_t sets, ways, clock;
    uint32_t last; /* the line that was used last, and one */
    uint32_t lines[MOST_LINES]; /* and one; 0: empty */
    uint32_t used[MOST_LINES];
} cache;

/* As memory_model.py gives it. */
typedef struct {
    uint32_t origin, bytes; /* 0: there is no flash to wait for */
    uint32_t fetch_waits, read_waits; /* half cycles for a line that is not at hand, of instructions and of data */
    uint32_t prefetch; /* whether the line after that which is executed is read meanwhile */
    uint32_t shared; /* whether data is kept with instructions */
    uint32_t instruction[3], data[3]; /* shift, sets and ways; of data 0 sets: every read waits */
} flash;

typedef struct {
    uint64_t half_cycles, deadline, instructions;
    uint32_t wanted; /* call back before the next block */
    uint32_t expected; /* where the block after the last one starts if no branch is taken */
    uint32_t used;
    uint32_t ended_in, predicted; /* the branch that ended the last block, if it may be predicted; whether it was */
    uint32_t remembered; /* the one that is predicted to be taken */
    /* Prices a block into the last five words of its slot; called with size 0 when the deadline is reached or a call
       back is wanted. */
    void (*decode)(uint32_t address, uint32_t size, uint32_t *cost);
    slot slots[CAPACITY];
    flash flash;
    cache instruction, data;
    const uint8_t *content; /* of the flash */
    uint64_t aside; /* from where it lies to where its data is read */
    uint32_t content_bytes;
    int (*write)(void *engine, int number, const void *value); /* a register */
    int epsr; /* its number */
    uint32_t weights, weights_bytes; /* where they begin, from the flash's origin on */
    uint64_t weights_waits; /* half cycles, of those for reads of data */
    uint32_t ahead; /* the line that is prefetched, and one */
    uint64_t ahead_from; /* since when, in half cycles */
} counter;

static slot *find(counter *c, uint32_t address, uint32_t size)
{
    uint32_t i = address >> 1 & (CAPACITY - 1);
    while (c->slots[i].size && !(c->slots[i].address == address && c->slots[i].size == size))
        i = (i + 1) & (CAPACITY - 1);
    return &c->slots[i];
}

/* What a counter takes; where it lies must be zeroed. */
uint32_t kb_counter_bytes(void)
{
    return sizeof(counter);
}

static void begin_cache(cache *c, const uint32_t *shape)
{
    c->shift = shape[0], c->sets = shape[1], c->ways = shape[2];
}

/* Waits for a flash from now on that begins with `content`; of an Arm core `write` is unicorn's uc_reg_write, `epsr`
   its number of that register. */
void kb_counter_flash(counter *c, const flash *f, const uint8_t *content, uint32_t bytes, uint64_t aside,
                      int (*write)(void *, int, const void *), int epsr)
{
    c->flash = *f;
    c->content = content, c->content_bytes = bytes, c->aside = aside;
    c->write = write;
    c->epsr = epsr;
    begin_cache(&c->instruction, f->instruction);
    begin_cache(&c->data, f->data);
}

/* Where the weights lie. */
void kb_counter_weights(counter *c, uint32_t begin, uint32_t bytes)
{
    c->weights = begin - c->flash.origin, c->weights_bytes = bytes;
}

uint64_t kb_counter_weights_waits(const counter *c)
{
    return c->weights_waits;
}

void kb_counter_begin(counter *c, void (*decode)(uint32_t, uint32_t, uint32_t *))
{
    c->decode = decode;
}

uint64_t kb_counter_half_cycles(const counter *c)
{
    return c->half_cycles;
}

/* To a whole cycle, as a counter is read at one: so what lies between two reads does not depend on what was before. */
void kb_counter_align(counter *c)
{
    c->half_cycles += c->half_cycles & 1;
}

uint64_t kb_counter_instructions(const counter *c)
{
    return c->instructions;
}

void kb_counter_deadline(counter *c, uint64_t half_cycles)
{
    c->deadline = half_cycles;
}

void kb_counter_interrupt(counter *c)
{
    c->wanted = 1;
}

#ifdef _WIN32
/* What Windows calls in a library; MinGW's own would bring the C library. */
int DllMainCRTStartup(void *library, uint32_t reason, void *reserved)
{
    (void)library, (void)reason, (void)reserved;
    return 1;
}
#endif

/* Whether a line is kept; it is from now on. */
static int kept(cache *c, uint32_t line)
{
    const uint32_t first = (line & (c->sets - 1)) * c->ways;
    uint32_t oldest = first;
    if (c->last == line + 1)
        return 1;
    c->last = line + 1;
    c->clock++;
    for (uint32_t i = first; i < first + c->ways; i++) {
        if (c->lines[i] == line + 1) {
            c->used[i] = c->clock;
            return 1;
        }
        if (c->used[i] < c->used[oldest])
            oldest = i;
    }
    c->lines[oldest] = line + 1;
    c->used[oldest] = c->clock;
    return 0;
}

/* Waits for the lines of a block, which takes `half_cycles` from now on. A line that is prefetched has been on its way
   since the one before it began to be executed; within a block all bytes take the same time. */
static void fetch(counter *c, uint32_t address, uint32_t size, uint32_t half_cycles)
{
    const uint32_t shift = c->instruction.shift, last = (address + size - 1) >> shift;
    uint64_t waited = 0;
    for (uint32_t line = address >> shift; line <= last; line++) {
        const int here = kept(&c->instruction, line);
        if (here && (!c->flash.prefetch || c->ahead == line + 2))
            continue;
        const uint32_t start = line << shift, before = start > address ? start - address : 0;
        const uint64_t now = c->half_cycles + waited + (uint64_t)half_cycles * before / size;
        uint64_t waits = here ? 0 : c->flash.fetch_waits;
        if (!here && c->ahead == line + 1) {
            const uint64_t since = now - c->ahead_from;
            waits = since < waits ? waits - since : 0;
        }
        waited += waits;
        if (c->flash.prefetch && c->ahead != line + 2) {
            c->ahead = line + 2;
            c->ahead_from = now + waits;
        }
    }
    c->half_cycles += waited;
}

/* As unicorn has it. */
typedef struct {
    uint64_t address;
    uint32_t allowed;
} page;

enum { READ = 1, WRITE = 2, EXECUTE = 4, TYPE_READ = 16, TYPE_FETCH = 18 };

/* A uc_cb_tlbevent_t: where a page lies. That of a flash lies elsewhere for reads of data than for instructions. Of an
   access to data unicorn has restored the IT state of its instruction, which the code itself has done with: it must be
   cleared, or the next block begins with it. */
_Bool kb_page(void *engine, uint64_t address, int type, page *found, void *data)
{
    const counter *c = data;
    const uint32_t thumb = 1u << 24;
    found->address = address;
    found->allowed = type == TYPE_FETCH ? EXECUTE : READ | WRITE;
    if (type != TYPE_FETCH && c->write)
        c->write(engine, c->epsr, &thumb);
    if (type == TYPE_READ && (uint32_t)address - c->flash.origin < c->flash.bytes) {
        found->address += c->aside;
        found->allowed = READ;
    }
    return 1;
}

/* A uc_cb_mmio_read_t of the flash's data. */
uint64_t kb_read(void *engine, uint64_t offset, unsigned size, void *data)
{
    counter *c = data;
    cache *at = c->flash.shared ? &c->instruction : &c->data;
    uint64_t value = 0;
    (void)engine;
    if (!at->sets || !kept(at, (uint32_t)(c->flash.origin + offset) >> at->shift)) {
        c->half_cycles += c->flash.read_waits;
        if ((uint32_t)offset - c->weights < c->weights_bytes)
            c->weights_waits += c->flash.read_waits;
    }
    if (offset + size <= c->content_bytes)
        for (unsigned i = 0; i < size; i++)
            value |= (uint64_t)c->content[offset + i] << 8 * i;
    return value;
}

/* What the way to a block costs: a branch that was predicted costs where it is not taken. */
static uint32_t on_the_way(counter *c, int follows, uint32_t entry)
{
    if (!c->ended_in)
        return follows ? 0 : entry;
    if (c->predicted == (uint32_t)follows)
        c->remembered = follows ? 0 : c->ended_in;
    if (follows)
        return c->predicted ? MISPREDICTED : 0;
    return c->predicted ? 0 : entry;
}

/* A uc_cb_hookcode_t for UC_HOOK_BLOCK. */
void kb_block(void *engine, uint64_t address, uint32_t size, void *data)
{
    counter *c = data;
    (void)engine;
    if (c->wanted || c->half_cycles >= c->deadline) {
        uint32_t none[5];
        c->wanted = 0;
        c->decode((uint32_t)address, 0, none);
        return;
    }
    slot *s = find(c, (uint32_t)address, size), unseen;
    if (!s->size) {
        uint32_t cost[5] = {0};
        c->decode((uint32_t)address, size, cost);
        unseen = (slot){(uint32_t)address, size, cost[0], cost[1], cost[2], cost[3], cost[4]};
        if (2 * c->used < CAPACITY) {
            *s = unseen;
            c->used++;
        }
        s = &unseen;
    }
    if (c->flash.bytes)
        fetch(c, (uint32_t)address, size, s->always);
    const int follows = address == c->expected;
    c->half_cycles += s->always + on_the_way(c, follows, s->entry);
    c->instructions += s->instructions;
    c->expected = (uint32_t)address + size;
    c->ended_in = s->backward;
    c->predicted = s->backward == c->remembered && (follows || !s->late);
}
