# SPDX-License-Identifier: Apache-2.0
"""Small programs on emulated RISC-V boards: cycles of loops at counts made by hand, the counter, and what goes wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.boards import Board
from kilobench.contracts import CellError
from kilobench.device.build import linker_script
from kilobench.device.emulator import EmulatedBoard
from kilobench.plugins.registry import load_registry

HAZARD3: Board = load_registry().get("boards", "raspberry_pi_pico_2_riscv")
ESP32_C3: Board = load_registry().get("boards", "esp32_c3_devkitm_1")
TURNS = 100
TURN = "c.addi a0, -1; c.bnez a0, 1b"

LOOPS = {
    "predicted": (f"1: add a3, a1, a2; {TURN}", 1 + 1 + 1, 1 + 1 + 3),
    "and its first instruction lies across two words": (f"c.nop; 1: add a3, a1, a2; {TURN}", 3, 5),
    "too short to be predicted": (f"1: {TURN}", 1 + 2, 1 + 3),
    "as short, but across two words": (f"c.nop; 1: {TURN}", 1 + 1, 1 + 3),
    "a jump forwards": (f"1: c.j 2f; c.nop; 2: add a3, a1, a2; {TURN}", 2 + 3, 3 + 5),
    "to an instruction across two words": (
        f"1: c.j 2f; c.nop; c.nop; 2: add a3, a1, a2; {TURN}",
        2 + 1 + 3,
        3 + 5,
    ),
    "into the word of the branch": (f"1: c.j 2f; c.nop; 2: {TURN}", 2 + 1 + 2, 3 + 1 + 3),
    "a branch forwards is never predicted": (
        f"1: beq a0, a0, 2f; c.nop; c.nop; 2: add a3, a1, a2; {TURN}",
        2 + 3,
        3 + 5,
    ),
    "one that is not taken": (f"1: bne a0, a0, 2f; 2: add a3, a1, a2; {TURN}", 1 + 3, 1 + 5),
    "a loop in a loop: either mispredicts the other": (
        "1: li a3, 4; c.nop; 2: add a4, a1, a2; c.addi a3, -1; c.bnez a3, 2b; c.nop; " + TURN,
        2 + (2 + 2) + 3 * 3 + 2 + 1 + 2 + 1 - 1,
        2 + 3 * 5 + 3 + 1 + 1 + 3,
    ),
    "calls": (f"c.j 1f; 3: ret; 1: jal 3b; {TURN}", 2 + 2 + 2, 3 + 3 + 1 + 3),
}
"""Cycles of a turn on Hazard3, where those of its public design are the same, and on the ESP32-C3."""


def program(folder: Path, board: Board, text: str) -> Path:
    """Linked for the board; it begins with the stack pointer in RAM, and ends by waiting for input."""
    lines = ['.section .vectors, "ax"', "la sp, kb_stack_top", ".balign 16", *text.split(";")]
    (folder / "a.s").write_text(
        "\n".join([".option norelax", *lines, "li t0, 0x4FFFF004", "9: lw t1, (t0)", "j 9b", ""])
    )
    (folder / "link.ld").write_text(linker_script(board))
    command = [*board.core.flags["zig"].split(), "-nostdlib", "-T", "link.ld", "a.s", "-o", "a.elf"]
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *command], check=True, cwd=folder, capture_output=True)
    return folder / "a.elf"


def cycles(folder: Path, board: Board, loop: str, turns: int, native: bool) -> int:
    """Until the program waits for input."""
    elf = program(folder, board, f"li a0, {turns}; .balign 16; {loop}")
    with EmulatedBoard(elf, board, native=native) as emulated:
        assert emulated.run() == b""
        return emulated.cycles


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", LOOPS)
def test_turns_of_a_loop(name: str, native: bool, tmp_path: Path) -> None:
    loop, *expected = LOOPS[name]
    for board, turn in zip((HAZARD3, ESP32_C3), expected, strict=True):
        short, long = (cycles(tmp_path, board, loop, turns, native) for turns in (TURNS, 2 * TURNS))
        assert (long - short) / TURNS == turn, board.name


@pytest.mark.parametrize("native", [True, False])
def test_the_counter_sees_all_cycles_up_to_where_it_is_read(native: bool, tmp_path: Path) -> None:
    """Its upper half is 0 for the first 28 s; no register but its own changes."""
    text = "li a2, 7; csrr a0, mcycle; c.nop; c.nop; mul a3, a2, a2; csrr a1, mcycle; csrr a4, mcycleh; sub a1, a1, a0"
    sent = "; ".join(f"sb {register}, -4(t2)" for register in ("a1", "a3", "a4"))
    with EmulatedBoard(
        program(tmp_path, HAZARD3, f"li t2, 0x4FFFF004; {text}; {sent}"), HAZARD3, native=native
    ) as board:
        assert list(board.run()) == [4, 49, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lui a0, 0x60000; lw a0, (a0)", "read from 0x60000000, where the board has no memory, at 0x1000"),
        ("lui a0, 0x10000; sw a0, (a0)", "write to 0x10000000, which is flash, at 0x1000"),
        ("lui a0, 0x60000; jr a0", "jump to 0x60000000, where the board has no memory,"),
        (".word 0xFFFFFFFF", "an invalid instruction at 0x1000"),
        ("ebreak", "invalid instruction at 0x1000"),
        ("ecall", "a supervisor call at 0x1000"),
        ("1: j 1b", "still busy after 10000 cycles, at 0x1000"),
    ],
)
def test_what_goes_wrong_is_named(text: str, message: str, tmp_path: Path) -> None:
    elf = program(tmp_path, HAZARD3, text)
    with EmulatedBoard(elf, HAZARD3, max_cycles=10_000) as board, pytest.raises(CellError) as caught:
        board.run()
    assert message in str(caught.value)


def test_a_program_of_another_architecture_is_refused(tmp_path: Path) -> None:
    elf = program(tmp_path, HAZARD3, "nop")
    with pytest.raises(ValueError, match=r"^it is a program for RISCV32, not for ARM$"):
        EmulatedBoard(elf, load_registry().get("boards", "nucleo_l476rg"))
