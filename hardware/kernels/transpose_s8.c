/* SPDX-License-Identifier: Apache-2.0 */
/* Transposition of int8 maps. */
#include "kb_generic.h"

KB_TRANSPOSE(kb_transpose_s8, int8_t)
