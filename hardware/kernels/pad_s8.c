/* SPDX-License-Identifier: Apache-2.0 */
/* A constant around a map of int8. */
#include "kb_movement.h"

KB_PAD(kb_pad_s8, int8_t, kb_pad_s8_params)
