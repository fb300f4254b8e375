/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32 as in zlib. */
#ifndef KB_CRC32_H
#define KB_CRC32_H

#include <stdint.h>

/* Continues `crc` (0 to begin) over `bytes` bytes. */
uint32_t kb_crc32(uint32_t crc, const void *data, uint32_t bytes);

#endif
