/* SPDX-License-Identifier: Apache-2.0 */
/* Signs of int8 maps. */
#include "kb_generic.h"

#define ORDERED(value) (value)

KB_BINARIZE(kb_binarize_s8, int8_t, kb_binarize_s8_params, ORDERED)
