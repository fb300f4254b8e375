/* SPDX-License-Identifier: Apache-2.0 */
/* Many models in one program. */
#ifndef KB_FUZZ_H
#define KB_FUZZ_H

#include "kb_model.h"

#define FUZZ_GUARD 64

typedef struct {
    const kb_model_t *model;
    void (*run)(uint8_t *arena, kb_after_op after, void *context);
    const uint8_t *inputs; /* FUZZ_INPUTS of them in a row */
    uint32_t output_bytes;
} fuzz_model;

extern const fuzz_model fuzz_models[];

/* Runs a model on one of its inputs in `memory` (its arena and FUZZ_GUARD bytes on both sides, 16-byte aligned), which
   is filled with `poison` before; the output, or NULL if the model wrote outside of its arena. */
const uint8_t *fuzz_run(uint32_t model, uint32_t input, uint8_t poison, uint8_t *memory);

#endif
