/* SPDX-License-Identifier: Apache-2.0 */
/* A map of int8 in another shape. */
#include "kb_movement.h"

KB_RESHAPE(kb_reshape_s8, int8_t)
