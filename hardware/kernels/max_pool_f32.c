/* SPDX-License-Identifier: Apache-2.0 */
/* Maximum pooling of float maps. */
#include "kb_generic.h"

KB_MAX_POOL_BLOCK(float)
KB_POOL_PIXEL(float, kb_max_pool_params)
KB_POOL(kb_max_pool_f32, float, kb_max_pool_params)

#define NO_FACTOR(q, p, row, column) (void)0
KB_PADDED_POOL(kb_padded_max_pool_f32, float, kb_max_pool_params, kb_max_pool_params, *p, NO_FACTOR)
