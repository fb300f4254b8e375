/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of Armv6-M assembly that int8 kernels share: with KB_TWICE before, results are rounded twice. */
#ifndef KB_V6M_H
#define KB_V6M_H

/* Functions in assembly read their parameters from registers. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* clang-format off */
/* The upper word of r2 times a factor, whose lower half is in r4, sign-extended, and what is left of it in r5; exact
   for any r2, as products of such halves have 31 bits. Destroys r3 and r7. ADCS rounds half up. */
#ifdef KB_TWICE
#define UPPER "adcs r2, r3\n"
#else
#define UPPER "adds r2, r2, r3\n"
#endif
#define SCALE                                                                                                         \
    "sxth r3, r2\n asrs r2, r2, #16\n movs r7, #0\n adcs r2, r7\n mov r7, r3\n muls r7, r4, r7\n asrs r7, r7, #16\n"   \
    "muls r3, r5, r3\n adds r3, r3, r7\n mov r7, r2\n muls r7, r4, r7\n adds r3, r3, r7\n muls r2, r5, r2\n"          \
    "asrs r3, r3, #16\n" UPPER

/* The output of the sum in r2 by the factor in r4 and r5, the shift in r6 and `offset`, which adds what it is to r2; it
   takes the same time whether it is clamped or not. Two roundings take one from negative sums before the shift, and
   destroy r9. */
#ifdef KB_TWICE
#define SIGN "asrs r3, r2, #31\n mov r9, r3\n"
#define ADD_SIGN "add r2, r9\n"
#else
#define SIGN
#define ADD_SIGN
#endif
#define OUTPUT(offset)                                                                                                \
    SIGN SCALE ADD_SIGN offset "asrs r2, r6\n adds r2, #128\n bpl 8f\n movs r2, #0\n 8: cmp r2, #255\n bls 9f\n"      \
    "movs r2, #255\n 9: subs r2, #128\n"

/* Two products in the halves of a word, below 2^15 each: the lower one, sign-extended, is added to r8, and the word
   without its lowest byte to r9 (FIRST: both begin so; LAST: into r3 and r4 instead). Destroys `word` and r3. Over up
   to 256 words LATER makes of the latter the sum of the upper halves: what the lower halves have left in it is below
   their sum, of which each shift took less than 1. */
#define FIRST(word) "sxth r3, " word "\n mov r8, r3\n asrs " word ", " word ", #8\n mov r9, " word "\n"
#define ADD(word) "sxth r3, " word "\n add r8, r3\n asrs " word ", " word ", #8\n add r9, " word "\n"
#define LAST "sxth r3, r4\n add r3, r8\n asrs r4, r4, #8\n add r4, r9\n"
#define LATER "asrs r7, r3, #8\n subs r4, r4, r7\n adds r4, #255\n asrs r4, r4, #8\n"
/* clang-format on */

#endif
