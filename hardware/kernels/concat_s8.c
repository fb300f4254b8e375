/* SPDX-License-Identifier: Apache-2.0 */
/* int8 maps one after the other. */
#include "kb_movement.h"

KB_CONCAT(kb_concat_s8, int8_t)
