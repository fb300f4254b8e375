/* SPDX-License-Identifier: Apache-2.0 */
/* Any function of one int8 value, by table. */
#include "kb_pointwise.h"

KB_INLINE int8_t of(int8_t x, const kb_lookup_s8_params *p)
{
    return p->table[x + 128];
}

KB_POINTWISE(kb_lookup_s8, int8_t, int8_t, kb_lookup_s8_params)
