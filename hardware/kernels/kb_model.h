/* SPDX-License-Identifier: Apache-2.0 */
/* What a generated model.c provides. */
#ifndef KB_MODEL_H
#define KB_MODEL_H

#include <stdint.h>

typedef enum { KB_FLOAT32, KB_INT8, KB_BIT, KB_INT16 } kb_dtype;

typedef struct {
    const char *name;
    const char *digest;
    uint32_t ops;
    uint32_t arena_bytes;
    uint32_t input_offset, input_bytes;
    uint32_t output_offset, output_count;
    kb_dtype input_dtype, output_dtype;
    float output_scale;
    int32_t output_zero_point;
} kb_model_t;

extern const kb_model_t kb_model;

/* Called with what an operator has just made: all of its output, or the next strip of it. */
typedef void (*kb_after_op)(uint32_t op, const void *output, uint32_t bytes, void *context);

/* One inference on the input at arena + input_offset, which may be overwritten; the arena is 16-byte aligned.
   `after` may be NULL. */
void kb_model_run(uint8_t *arena, kb_after_op after, void *context);

#endif
