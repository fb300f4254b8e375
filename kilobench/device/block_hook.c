/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the cycles of executed basic blocks: the native form of the hook in emulator.py, with the same sums.

   The emulator calls kb_block for every block. Known blocks cost a look-up, as a rule one comparison: a block's slot is
   that of its address. Unknown ones are priced by `decode`. Nothing of the C library is used, which zig would have to
   compile first. */
#include <stdint.h>

#define CAPACITY (1u << 16)

typedef struct {
    uint32_t address, size; /* size 0: free */
    uint32_t always, entry; /* half cycles */
    uint32_t instructions;
} slot;

typedef struct {
    uint64_t half_cycles, deadline, instructions;
    uint32_t wanted; /* call back before the next block */
    uint32_t expected; /* where the block after the last one starts if no branch is taken */
    uint32_t used;
    /* Prices a block into the last three words of its slot; called with size 0 when the deadline is reached or a call
       back is wanted. */
    void (*decode)(uint32_t address, uint32_t size, uint32_t *cost);
    slot slots[CAPACITY];
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

/* A uc_cb_hookcode_t for UC_HOOK_BLOCK. */
void kb_block(void *engine, uint64_t address, uint32_t size, void *data)
{
    counter *c = data;
    (void)engine;
    if (c->wanted || c->half_cycles >= c->deadline) {
        uint32_t none[3];
        c->wanted = 0;
        c->decode((uint32_t)address, 0, none);
        return;
    }
    slot *s = find(c, (uint32_t)address, size), unseen;
    if (!s->size) {
        uint32_t cost[3] = {0, 0, 0};
        c->decode((uint32_t)address, size, cost);
        unseen = (slot){(uint32_t)address, size, cost[0], cost[1], cost[2]};
        if (2 * c->used < CAPACITY) {
            *s = unseen;
            c->used++;
        }
        s = &unseen;
    }
    c->half_cycles += s->always + (address == c->expected ? 0 : s->entry);
    c->instructions += s->instructions;
    c->expected = (uint32_t)address + size;
}
