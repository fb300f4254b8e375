/* SPDX-License-Identifier: Apache-2.0 */
/* Signs of float maps. */
#include "kb_generic.h"

/* A float's bits as an integer of the same order; -0 comes right before 0. */
KB_INLINE int32_t ordered(float value)
{
    union {
        float real;
        int32_t bits;
    } x = {value};
    return x.bits ^ (int32_t)((uint32_t)(x.bits >> 31) >> 1);
}

KB_BINARIZE(kb_binarize_f32, float, kb_binarize_f32_params, ordered)
