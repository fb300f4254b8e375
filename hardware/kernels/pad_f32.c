/* SPDX-License-Identifier: Apache-2.0 */
/* A constant around a map of float. */
#include "kb_movement.h"

KB_PAD(kb_pad_f32, float, kb_pad_f32_params)
