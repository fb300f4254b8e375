/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

static int is_poison(const uint8_t *bytes, uint8_t poison)
{
    for (uint32_t i = 0; i < FUZZ_GUARD; i++)
        if (bytes[i] != poison)
            return 0;
    return 1;
}

const uint8_t *fuzz_run(uint32_t model, uint32_t input, uint8_t poison, uint8_t *memory)
{
    const fuzz_model *m = &fuzz_models[model];
    uint8_t *arena = memory + FUZZ_GUARD, *end = arena + m->model->arena_bytes;
    const uint8_t *from = m->inputs + input * m->model->input.bytes;
    for (uint8_t *byte = memory; byte < end + FUZZ_GUARD; byte++)
        *byte = poison;
    for (uint32_t i = 0; i < m->model->input.bytes; i++)
        arena[m->model->input.offset + i] = from[i];
    m->run(arena, 0, 0);
    return is_poison(memory, poison) && is_poison(end, poison) ? arena + m->model->outputs[0].offset : 0;
}
