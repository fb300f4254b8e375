/* SPDX-License-Identifier: Apache-2.0 */
/* Where the largest float is. */
#include "kb_generic.h"

KB_ARGMAX(kb_argmax_f32, float, float, -__builtin_inff())
