# SPDX-License-Identifier: Apache-2.0
"""Small kernels of the kinds that CoreMark has, on every core that is emulated, at cycles counted by hand (docs/timing.md).

They are of 16-bit instructions that all cores have. A run with more turns takes as many cycles more as those turns.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from kilobench.boards import Board
from kilobench.device.emulator import EmulatedBoard
from kilobench.plugins.registry import load_registry
from tests.device.test_emulator import firmware

TEXT = "12, 3.5e8; -70 km 0x1F (a) " * 8
FEW, MANY = 80, 200
POLYNOMIAL = 0xA001

SETTING = f"""
struct node {{ struct node *next; uint32_t value; }};
static struct node ring[8];
static uint32_t left[256], right[256];
static const char text[] = "{TEXT}";
static void prepare(void)
{{
    for (uint32_t i = 0; i < 8; i++) ring[i].value = 7 * i, ring[i].next = &ring[(3 * i + 1) % 8];
    for (uint32_t i = 0; i < 256; i++) left[i] = i, right[i] = 1000 - i;
}}
"""
KERNELS = {
    "list": (
        "ring",
        "ldr r2, [r0, #4]; adds r3, r3, r2; ldr r0, [r0]; subs r1, #1; bne 1b",
    ),
    "matrix": (
        "left - 1",
        "ldr r4, [r0, r5]; ldr r6, [r2, r5]; muls r4, r6; adds r3, r3, r4; subs r5, #4; bne 1b",
    ),
    "state machine": (
        "text",
        "ldrb r2, [r0]; adds r0, #1; cmp r2, #'0'; blo 2f; cmp r2, #'9'; bhi 2f; adds r3, #1; 2: subs r1, #1; bne 1b",
    ),
    "crc": (
        "(const void *)0x1D0F",
        "lsrs r0, r0, #1; bcc 2f; eors r0, r2; 2: subs r1, #1; bne 1b",
    ),
}
"""What r0 begins with, and the loop; r1 counts turns, r5 four times as many, r2 is the matrix's other row, or the polynomial."""


def same(turn: float) -> Callable[[int], float]:
    """Of a kernel whose turns all take as long."""
    return lambda turns: turn * turns


def read(below: float, digit: float, above: float) -> Callable[[int], float]:
    """Of the state machine: characters below the digits leave at the first branch, those above them at the second."""

    def cycles(turns: int) -> float:
        return sum(below if c < "0" else digit if c <= "9" else above for c in TEXT[:turns])

    return cycles


def shifted(zero: float, one: float) -> Callable[[int], float]:
    """Of the CRC: a bit that is 0 jumps, one that is 1 does not and adds the polynomial."""

    def cycles(turns: int) -> float:
        taken, crc = 0.0, 0x1D0F
        for _ in range(turns):
            taken += one if crc & 1 else zero
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
        return taken

    return cycles


BY_HAND = {
    # every load 2, a taken branch 3, everything else 1
    ("nucleo_f072rb", "list"): same(2 + 1 + 2 + 1 + 3),
    ("nucleo_f072rb", "matrix"): same(2 + 2 + 1 + 1 + 1 + 3),
    ("nucleo_f072rb", "state machine"): read(
        2 + 1 + 1 + 3 + 1 + 3, 2 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 3, 5 + 1 + 3 + 1 + 3
    ),
    ("nucleo_f072rb", "crc"): shifted(1 + 3 + 1 + 3, 1 + 1 + 1 + 1 + 3),
    # a taken branch 2
    ("raspberry_pi_pico", "list"): same(2 + 1 + 2 + 1 + 2),
    ("raspberry_pi_pico", "matrix"): same(2 + 2 + 1 + 1 + 1 + 2),
    ("raspberry_pi_pico", "state machine"): read(
        2 + 1 + 1 + 2 + 1 + 2, 2 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 2, 5 + 1 + 2 + 1 + 2
    ),
    ("raspberry_pi_pico", "crc"): shifted(1 + 2 + 1 + 2, 1 + 1 + 1 + 1 + 2),
    # the second of two loads in a row 1
    **{
        (board, kernel): cycles
        for board in ("nucleo_f103rb", "nucleo_l476rg")
        for kernel, cycles in (
            ("list", same(2 + 1 + 2 + 1 + 2)),
            ("matrix", same(2 + 1 + 1 + 1 + 1 + 2)),
            ("state machine", read(2 + 1 + 1 + 2 + 1 + 2, 2 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 2, 5 + 1 + 2 + 1 + 2)),
            ("crc", shifted(1 + 2 + 1 + 2, 1 + 1 + 1 + 1 + 2)),
        )
    },
    # a load is waited for a cycle, as is a product, which takes another to set flags; a branch not taken is free, one forwards 1
    ("nucleo_u575zi_q", "list"): same(1 + 1 + 1 + 1 + 1 + 2),
    ("nucleo_u575zi_q", "matrix"): same(1 + 1 + 1 + 2 + 1 + 1 + 1 + 2),
    ("nucleo_u575zi_q", "state machine"): read(1 + 1 + 1 + 1 + 1 + 2, 1 + 1 + 1 + 1 + 1 + 1 + 2, 3 + 1 + 1 + 1 + 2),
    ("nucleo_u575zi_q", "crc"): shifted(1 + 1 + 1 + 2, 1 + 1 + 1 + 2),
    # pairs: (adds, ldr), (subs, bne); (adds, subs); (ldrb, adds), (cmp, b), (subs, bne); (lsrs, bcc), (eors, subs)
    ("nucleo_f746zg", "list"): same(1 + 1 + 1 + 1 + 0.5),
    ("nucleo_f746zg", "matrix"): same(1 + 1 + 1 + 1 + 1 + 1 + 1 + 0.5),
    ("nucleo_f746zg", "state machine"): read(1 + 1 + 1 + 0.5 + 1 + 0.5, 3 + 1 + 2 + 0.5, 3 + 1 + 0.5 + 1 + 0.5),
    ("nucleo_f746zg", "crc"): shifted(1 + 0.5 + 1 + 0.5, 1 + 2 + 0.5),
}


def cycles(board: Board, kernel: str, turns: int, folder: Path) -> Fraction:
    """Of a whole program that makes so many turns."""
    start, loop = KERNELS[kernel]
    lines = "".join(f'"{line.strip()}\\n"' for line in f".balign 4; 1: {loop}".split(";"))
    second = "right - 1" if kernel == "matrix" else POLYNOMIAL
    body = f"""{SETTING}
void body(void)
{{
    prepare();
    register const void *a __asm__("r0") = {start};
    register uint32_t turns __asm__("r1") = {turns};
    register uint32_t other __asm__("r2") = (uint32_t)({second});
    register uint32_t sum __asm__("r3") = 0;
    register uint32_t offset __asm__("r5") = turns * 4;
    __asm__ volatile({lines} : "+r"(a), "+r"(turns), "+r"(other), "+r"(sum), "+r"(offset) : : "r4", "r6", "cc", "memory");
}}
"""
    folder.mkdir()
    with EmulatedBoard(firmware(folder, body, board), board) as emulated:
        emulated.run()
        return Fraction(emulated._counter.half_cycles(), 2)


@pytest.mark.parametrize(("name", "kernel"), BY_HAND)
def test_kernels_take_what_was_counted_by_hand(name: str, kernel: str, tmp_path: Path) -> None:
    board = load_registry().get("boards", name)
    few, many = (cycles(board, kernel, turns, tmp_path / str(turns)) for turns in (FEW, MANY))
    assert many - few == Fraction(BY_HAND[name, kernel](MANY)) - Fraction(BY_HAND[name, kernel](FEW))


def test_all_tables_are_checked() -> None:
    boards = load_registry().entries["boards"].values()
    arm = {board.value.core.timing for board in boards if board.value.core.timing.startswith("cortex")}
    assert {load_registry().get("boards", name).core.timing for name, _ in BY_HAND} == arm
