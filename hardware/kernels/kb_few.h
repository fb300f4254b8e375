/* SPDX-License-Identifier: Apache-2.0 */
/* Binary convolutions with few output channels: of each output the bits are counted in which its window and its weights
   agree. The words of a window, taps in their order, are cut into chunks of KB_FEW_CHUNK, and the last ones, where they
   fit, into one of KB_FEW_SHORT; what is left of it is 0. Weights are [chunks][out channels][words of the chunk], with
   a bit set for -1, and in pairs of words as kb_few.c reads them. Taps that padding takes are read as -1: they agree
   with weights of -1, which `positive` counts and `level` allows for. */
#ifndef KB_FEW_H
#define KB_FEW_H

#include "kb_bits.h"

/* A walk over output pixels. */
typedef struct {
    const kb_window *window;
    const uint32_t *weight;
    uint32_t *words; /* of the window */
    int32_t count, filled; /* those that there are, and those of all chunks */
    int32_t pixel, row, in_row; /* words of a pixel of the input, of a row of the window and of the input */
    kb_bits_cases rows, columns;
    const uint32_t *from; /* the input's first row that this row of the output reads, and where it goes */
    uint32_t *to;
    int32_t rows_inside, first_place; /* rows of the windows inside of the map, and the first case, of this row */
    int32_t valid, place; /* of the pixel made last: taps inside of the map, and where its case begins in a table */
} kb_few;

void kb_few_begin(kb_few *f, const kb_window *window, const uint32_t *weight, void *scratch);

/* Start a row of the output. */
void kb_few_row(kb_few *f, const uint32_t *in, int32_t y);

/* Make the sums of all output channels at a pixel of the row, modulo 2^32: the bits that agree, and, if there are any,
   `levels` [cases][out channels]. Bit o of the result is the sign of sums[o]. */
uint32_t kb_few_pixel(kb_few *f, int32_t x, const uint32_t *levels, uint32_t *sums);

#endif
