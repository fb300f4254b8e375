/* SPDX-License-Identifier: Apache-2.0 */
/* Average pooling of int8 maps. */
#include "kb_generic.h"

KB_AVG_POOL_BLOCK(kb_requantise_once)
KB_POOL_PIXEL(int8_t, kb_avg_pool_s8_params)
KB_POOL(kb_avg_pool_s8, int8_t, kb_avg_pool_s8_params)
