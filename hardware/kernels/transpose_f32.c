/* SPDX-License-Identifier: Apache-2.0 */
/* Transposition of float maps. */
#include "kb_generic.h"

KB_TRANSPOSE(kb_transpose_f32, float)
