/* SPDX-License-Identifier: Apache-2.0 */
/* What a generated model.c provides. */
#ifndef KB_MODEL_H
#define KB_MODEL_H

#include <stdint.h>

typedef enum { KB_FLOAT32, KB_INT8, KB_BIT, KB_INT16, KB_UINT8, KB_INT32 } kb_dtype;

/* A map that goes in or comes out: where it lies in the arena, its size, and how many values it has. */
typedef struct {
    uint32_t offset, bytes, count;
    kb_dtype dtype;
    float scale; /* a value is scale * (q - zero_point) */
    int32_t zero_point;
} kb_tensor_t;

typedef struct {
    const char *name;
    const char *digest;
    uint32_t ops;
    uint32_t arena_bytes;
    kb_tensor_t input;
    const kb_tensor_t *outputs;
    uint32_t output_count;
} kb_model_t;

extern const kb_model_t kb_model;

/* Called with what an operator has just made: all of its output, or the next strip of it. */
typedef void (*kb_after_op)(uint32_t op, const void *output, uint32_t bytes, void *context);

/* One inference on the input in the arena, which may be overwritten; the arena is 16-byte aligned.
   `after` may be NULL. */
void kb_model_run(uint8_t *arena, kb_after_op after, void *context);

#endif
