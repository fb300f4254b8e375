/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a map of int8 in steps: parts of it, or its axes in another order. */
#include "kb_movement.h"

KB_STRIDED(kb_strided_s8, int8_t)
