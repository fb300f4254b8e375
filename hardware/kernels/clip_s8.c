/* SPDX-License-Identifier: Apache-2.0 */
/* A clamp of integers. */
#include "kb_pointwise.h"

KB_INLINE int8_t of(int8_t x, const kb_clip_s8_params *p)
{
    return (int8_t)kb_min(kb_max(x, p->low), p->high);
}

KB_POINTWISE(kb_clip_s8, int8_t, int8_t, kb_clip_s8_params)
