/* SPDX-License-Identifier: Apache-2.0 */
/* int8 convolution with weights of few bits on cores with the DSP extension, whose SMLAD adds the products of two taps:
   sums of conv2d_narrow.h, which includes this. Loops are entered where what is left over of their eight, or four,
   steps begins. */
#ifndef KB_CONV2D_NARROW_DSP_H
#define KB_CONV2D_NARROW_DSP_H

#include "kb_inline.h"
#include "kb_quad.h"

#if KB_LIMIT != 512
#error "quad cuts sums after 512 taps"
#endif

/* clang-format off */
#if KB_BITS == 4
/* The channels of a word of weights, from the last to the first, are what is left of it. */
#define NEXT(word, mask) "and.w " word ", " word ", #" mask "\n"
#define WITHOUT_LAST(word) "bic.w " word ", " word ", #0xF000F000\n"

/* Two taps of two pixels: 56 bytes. */
#define STEP(mac, a, b, c, d, e, f, g, h)                                                                             \
    "ldr.w r12, [r0], #4\n ldr.w lr, [r1], #4\n ldr.w r3, [r2], #4\n"                                                 \
    mac " r10, r3, r12" a "\n" mac " r11, r3, lr" b "\n" WITHOUT_LAST("r3")                                           \
    mac " r8, r3, r12" c "\n" mac " r9, r3, lr" d "\n" NEXT("r3", "0x00FF00FF")                                       \
    mac " r6, r3, r12" e "\n" mac " r7, r3, lr" f "\n" NEXT("r3", "0x000F000F")                                       \
    mac " r4, r3, r12" g "\n" mac " r5, r3, lr" h "\n"
#define FIRST_STEP STEP("smuad", "", "", "", "", "", "", "", "")
#define NEXT_STEP STEP("smlad", ", r10", ", r11", ", r8", ", r9", ", r6", ", r7", ", r4", ", r5")
#define FOUR_STEPS NEXT_STEP NEXT_STEP NEXT_STEP NEXT_STEP

#define WEIGHT_BYTES(weights, taps) "add.w r0, " weights ", " taps ", lsl #1\n"
#define BYTES_OF_512 "#1024"
/* How far into the loop it is entered, by the taps in r3. */
#define SKIP "lsrs r3, r3, #1\n rsb r3, r3, #1\n and r3, r3, #7\n rsb r3, r3, r3, lsl #3\n lsls r3, r3, #3\n"
#define FIRST FIRST_STEP
#define AGAIN                                                                                                         \
    "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n"
#define TURN FOUR_STEPS FOUR_STEPS
#define PART                                                                                                          \
    "sub.w r10, r10, r8\n sub.w r11, r11, r9\n sub.w r8, r8, r6\n sub.w r9, r9, r7\n"                                \
    "sub.w r6, r6, r4\n sub.w r7, r7, r5\n asr.w r10, r10, #8\n asr.w r11, r11, #8\n"                                \
    "asr.w r8, r8, #4\n asr.w r9, r9, #4\n lsl.w r4, r4, #4\n lsl.w r5, r5, #4\n"
#define ADD_OFFSETS "add.w r6, r6, r0\n add.w r7, r7, r1\n"

/* Four taps of one pixel: 72 bytes. */
#define FOUR_TAPS                                                                                                     \
    "ldr.w r8, [r1], #8\n ldr.w r12, [r0], #8\n ldr r9, [r1, #-4]\n ldr lr, [r0, #-4]\n"                           \
    "smlad r7, r8, r12, r7\n" WITHOUT_LAST("r8") "smlad r6, r8, r12, r6\n" NEXT("r8", "0x00FF00FF")                   \
    "smlad r5, r8, r12, r5\n" NEXT("r8", "0x000F000F") "smlad r4, r8, r12, r4\n"                                      \
    "smlad r7, r9, lr, r7\n" WITHOUT_LAST("r9") "smlad r6, r9, lr, r6\n" NEXT("r9", "0x00FF00FF")                     \
    "smlad r5, r9, lr, r5\n" NEXT("r9", "0x000F000F") "smlad r4, r9, lr, r4\n"

/* The sums of one pixel. */
KB_APART __attribute__((naked)) void sum_one(const int16_t *x, const int16_t *w, int32_t taps, int32_t *sum)
{
    __asm__("push {r4-r9, lr}\n lsrs r4, r2, #2\n rsbs r4, r4, #0\n and r4, r4, #3\n add.w r4, r4, r4, lsl #3\n"
            "adr r12, 2f\n add.w r12, r12, r4, lsl #3\n orr r12, r12, #1\n add.w r2, r1, r2, lsl #1\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n bx r12\n"
            ".balign 4\n"
            "2:\n" FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS "cmp.w r1, r2\n bne.w 2b\n"
            "subs r7, r7, r6\n subs r6, r6, r5\n subs r5, r5, r4\n asrs r7, r7, #8\n asrs r6, r6, #4\n lsls r4, r4, #4\n"
            "stm.w r3, {r4-r7}\n pop {r4-r9, pc}\n");
}
#else
/* Two halves of two channels, of a word of weights turned by some bits; those fields are in lr. */
#define FIELDS(turned) "and.w r12, lr, r3" turned "\n"

/* Four taps of two pixels: 68 bytes. */
#define STEP                                                                                                          \
    "ldr.w r3, [r2], #4\n ldr.w r4, [r0], #8\n ldr.w r8, [r1], #8\n ldr r5, [r0, #-4]\n ldr r9, [r1, #-4]\n"           \
    FIELDS("") "smlad r6, r12, r4, r6\n smlad r7, r12, r8, r7\n"                                                      \
    FIELDS(", ror #4") "smlad r10, r12, r4, r10\n smlad r11, r12, r8, r11\n"                                          \
    FIELDS(", ror #8") "smlad r6, r12, r5, r6\n smlad r7, r12, r9, r7\n"                                              \
    FIELDS(", ror #12") "smlad r10, r12, r5, r10\n smlad r11, r12, r9, r11\n"
#define FOUR_STEPS STEP STEP STEP STEP
/* Takes the sum of a first channel from both, and adds it. */
#define LOWER(both, sum) "sbfx r12, " both ", #0, #14\n sub.w " both ", " both ", r12\n add.w " sum ", " sum ", r12\n"

#define WEIGHT_BYTES(weights, taps) "add.w r0, " weights ", " taps "\n"
#define BYTES_OF_512 "#512"
#define SKIP "lsrs r3, r3, #2\n rsbs r3, r3, #0\n and r3, r3, #7\n add.w r3, r3, r3, lsl #4\n lsls r3, r3, #2\n"
#define FIRST AGAIN
#define AGAIN                                                                                                         \
    "movs r4, #0\n movs r5, #0\n strd r4, r5, [sp, #48]\n strd r4, r5, [sp, #56]\n movs r6, #0\n movs r7, #0\n"      \
    "mov r10, r4\n mov r11, r4\n movw lr, #0xC003\n movt lr, #0xC003\n"
#define TURN                                                                                                          \
    FOUR_STEPS FOUR_STEPS "ldrd r4, r5, [sp, #48]\n ldrd r8, r9, [sp, #56]\n"                                         \
    LOWER("r6", "r4") LOWER("r7", "r5") LOWER("r10", "r8") LOWER("r11", "r9")                                         \
    "strd r4, r5, [sp, #48]\n strd r8, r9, [sp, #56]\n"
#define PART                                                                                                          \
    "asr.w r6, r6, #7\n asr.w r7, r7, #7\n asr.w r10, r10, #7\n asr.w r11, r11, #7\n"                                \
    "lsl.w r4, r4, #7\n lsl.w r5, r5, #7\n lsl.w r8, r8, #7\n lsl.w r9, r9, #7\n"
#define ADD_OFFSETS

/* Four taps of one pixel: 44 bytes. */
#define FOUR_TAPS                                                                                                     \
    "ldr.w r8, [r1], #4\n ldr.w r9, [r0], #8\n ldr r10, [r0, #-4]\n"                                                \
    "and.w r12, lr, r8\n smlad r4, r12, r9, r4\n and.w r12, lr, r8, ror #4\n smlad r5, r12, r9, r5\n"                  \
    "and.w r12, lr, r8, ror #8\n smlad r4, r12, r10, r4\n and.w r12, lr, r8, ror #12\n smlad r5, r12, r10, r5\n"

/* The sums of one pixel; those of channels 0 and 2 are in r6 and r7. */
KB_APART __attribute__((naked)) void sum_one(const int16_t *x, const int16_t *w, int32_t taps, int32_t *sum)
{
    __asm__("push {r4-r10, lr}\n lsrs r4, r2, #2\n rsbs r4, r4, #0\n and r4, r4, #7\n movs r5, #44\n muls r4, r5, r4\n"
            "adr r12, 2f\n add.w r12, r12, r4\n orr r12, r12, #1\n add r2, r1\n movw lr, #0xC003\n movt lr, #0xC003\n"
            "movs r4, #0\n movs r5, #0\n movs r6, #0\n movs r7, #0\n bx r12\n"
            ".balign 4\n"
            "2:\n" FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS
            LOWER("r4", "r6") LOWER("r5", "r7") "cmp.w r1, r2\n bne.w 2b\n"
            "asrs r4, r4, #7\n asrs r5, r5, #7\n lsls r6, r6, #7\n lsls r7, r7, #7\n strd r6, r4, [r3]\n strd r7, r5, [r3, #8]\n pop {r4-r10, pc}\n");
}
#endif

/* Four channels, whose numbers and weights are given, of all pixels from x to the end, two at a time, which are `step`
   bytes apart; `next` is from an output to that of the next pixel. From the stack pointer on there are: eight totals; at
   32 where this chunk of taps, 36 where the first one, 40 where a chunk that is all ends; at 44 the entry, 48 four sums;
   from 64 on x, out, next, x_end; from 116 on channel, w, where the weights end, step, offsets. */
KB_APART __attribute__((naked)) void quad(const int16_t *x, int8_t *out, int32_t next, const int16_t *x_end,
                                          const int32_t *channel, const int16_t *w, int32_t taps, int32_t step,
                                          const int32_t *offsets)
{
    __asm__("push {r0-r11, lr}\n sub sp, #64\n ldrd r2, r3, [sp, #120]\n" WEIGHT_BYTES("r2", "r3") "str r0, [sp, #124]\n"
            "mov r4, r0\n subs r3, #1\n ubfx r3, r3, #0, #9\n adds r3, #1\n" WEIGHT_BYTES("r2", "r3")
            "strd r0, r0, [sp, #32]\n cmp r4, r0\n it ne\n movne r0, r1\n str r0, [sp, #40]\n" /* or what is no end */
            SKIP "adr r12, 2f\n add.w r12, r12, r3\n orr r12, r12, #1\n str r12, [sp, #44]\n"
            ".balign 4\n"
            "1: ldr.w r0, [sp, #64]\n ldr.w r1, [sp, #128]\n ldr.w r2, [sp, #120]\n add.w r1, r1, r0\n"
            FIRST "ldr.w r3, [sp, #44]\n bx r3\n"
            ".balign 4\n"
            "2:\n" TURN "ldr.w r3, [sp, #32]\n cmp.w r2, r3\n bne.w 2b\n"
            "ldr.w r3, [sp, #40]\n" PART "cmp.w r2, r3\n bne.w 4f\n"
            "3: ldr.w r3, [sp, #132]\n ldr.w r12, [sp, #116]\n ldrd r0, r1, [r3], #8\n str.w r3, [sp, #132]\n"
            "ldr.w r2, [r12]\n ldr.w r3, [r12, #32]\n" ADD_OFFSETS
            "add.w r4, r4, r0\n add.w r5, r5, r1\n add.w r8, r8, r0\n add.w r9, r9, r1\n"
            "add.w r4, r4, r2\n add.w r5, r5, r2\n add.w r8, r8, r3\n add.w r9, r9, r3\n" TWO_PIXELS(LOADED, "")
            "ldr.w r1, [sp, #68]\n ldr.w r2, [sp, #72]\n ldr.w r0, [sp, #64]\n ldr.w r3, [sp, #128]\n ldr.w lr, [sp, #76]\n"
            "str.w r5, [r1, r2]\n str.w r4, [r1]\n add.w r1, r1, r2, lsl #1\n add.w r0, r0, r3, lsl #1\n"
            "str.w r1, [sp, #68]\n str.w r0, [sp, #64]\n cmp.w r0, lr\n bne.w 1b\n add sp, #80\n pop {r4-r11, pc}\n"
            "4: ldr r3, [sp, #36]\n cmp r2, r3\n beq 5f\n"
            "ldrd r3, r12, [sp]\n add r4, r3\n add r5, r12\n ldrd r3, r12, [sp, #8]\n add r6, r3\n add r7, r12\n"
            "ldrd r3, r12, [sp, #16]\n add r8, r3\n add r9, r12\n ldrd r3, r12, [sp, #24]\n add r10, r3\n add r11, r12\n"
            "ldr r3, [sp, #124]\n cmp r2, r3\n beq 6f\n"
            "5: mov r3, sp\n stm r3, {r4-r11}\n ldr r3, [sp, #32]\n add.w r3, r3, " BYTES_OF_512 "\n str r3, [sp, #32]\n"
            AGAIN "b.w 2b\n"
            "6: ldr r3, [sp, #36]\n str r3, [sp, #32]\n b.w 3b\n");
}
/* clang-format on */

#endif
