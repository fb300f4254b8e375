/* SPDX-License-Identifier: Apache-2.0 */
/* uint8 to int8, by table. */
#include "kb_pointwise.h"

KB_INLINE int8_t of(uint8_t x, const kb_quantise_u8_params *p)
{
    return p->table[x];
}

KB_POINTWISE(kb_quantise_u8, uint8_t, int8_t, kb_quantise_u8_params)
