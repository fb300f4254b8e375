/* SPDX-License-Identifier: Apache-2.0 */
/* uint8 to int16, by table; a small kernel, as only a network's input is of these types. */
#include "kb_pointwise.h"

KB_INLINE int16_t of(uint8_t x, const kb_quantise_u8_s16_params *p)
{
    return p->table[x];
}

KB_RARE KB_POINTWISE(kb_quantise_u8_s16, uint8_t, int16_t, kb_quantise_u8_s16_params)
