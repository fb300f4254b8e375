/* SPDX-License-Identifier: Apache-2.0 */
/* int8 to uint8, by table. */
#include "kb_pointwise.h"

KB_INLINE uint8_t of(int8_t x, const kb_dequantise_s8_u8_params *p)
{
    return p->table[x + 128];
}

KB_POINTWISE(kb_dequantise_s8_u8, int8_t, uint8_t, kb_dequantise_s8_u8_params)
