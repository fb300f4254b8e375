# SPDX-License-Identifier: Apache-2.0
"""Small firmware on emulated boards."""

import subprocess
import sys
from pathlib import Path

import pytest

from kilobench.boards import Board
from kilobench.contracts import CellError
from kilobench.device.build import linker_script
from kilobench.device.emulator import EmulatedBoard
from kilobench.plugins.registry import load_registry

BOARD: Board = load_registry().get("boards", "nucleo_l476rg")

START = r"""
#include <stdint.h>
#define REGISTER(a) (*(volatile uint32_t *)(a))
extern uint32_t kb_stack_top[];
uint8_t arena[64] __attribute__((section(".arena")));
static void put(const char *text) { while (*text) REGISTER(0x4FFFF000) = (uint8_t)*text++; }
static void number(uint32_t n) { char d[12], *p = d + 11; *p = 0; do *--p = '0' + n % 10; while (n /= 10); put(p); }
void body(void);
__attribute__((used, noreturn)) static void reset(void)
{
    REGISTER(0xE000EDFC) |= 1u << 24;
    REGISTER(0xE0001000) |= 1;
    put("");
    number(arena[0]);
    put("\n");
    body();
    put("done\n");
    for (;;) REGISTER(0x4FFFF004);
}
void *const vectors[2] __attribute__((section(".vectors"), used)) = {kb_stack_top, (void *)reset};
"""


def firmware(folder: Path, body: str, board: Board = BOARD) -> Path:
    """START with a body, linked for the board."""
    (folder / "a.c").write_text(START + body)
    (folder / "link.ld").write_text(linker_script(board))
    target = [*board.core.flags["zig"].split(), "-O1", "-ffreestanding"]
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        *target,
        "-fno-sanitize=undefined",
        "-T",
        "link.ld",
        "a.c",
        "-o",
        "a.elf",
    ]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "a.elf"


def lines(elf: Path, count: int, native: bool | None = None, board: Board = BOARD, **options: int) -> list[str]:
    with EmulatedBoard(elf, board, native=native, **options) as emulated:
        return [emulated.readline().decode().strip() for _ in range(count)]


LOOP = r"""
__attribute__((noinline)) static uint32_t count(uint32_t turns)
{
    uint32_t before = REGISTER(0xE0001004);
    __asm__ volatile(".balign 4\n1: subs %0, #1\n bne 1b\n nop\n nop\n" : "+r"(turns));
    return REGISTER(0xE0001004) - before;
}
void body(void) { number(count(10)); put("\n"); number(count(1010)); put("\n"); }
"""


@pytest.mark.parametrize("native", [True, False])
def test_a_loop_takes_three_cycles_a_turn(native: bool, tmp_path: Path) -> None:
    """SUBS 1, BNE taken 2; the difference of two lengths leaves out everything around the loop."""
    _, short, long, _ = lines(firmware(tmp_path, LOOP), 4, native)
    assert int(long) - int(short) == 3 * 1000


def test_both_hooks_count_the_same(tmp_path: Path) -> None:
    elf = firmware(tmp_path, LOOP)
    counts = []
    for native in (True, False):
        with EmulatedBoard(elf, BOARD, native=native) as board:
            heard = [board.readline() for _ in range(4)]
            counts.append((heard, board.cycles, board.instructions))
    assert counts[0] == counts[1]
    assert counts[0][2] > 2 * 1020


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "void body(void) { REGISTER(0x30000000) = 1; }",
            r"write to 0x30000000, where the board has no memory, at .*\((body|reset)",
        ),
        ("void body(void) { REGISTER(0x08000000) = 1; }", r"write to 0x08000000, which is flash, at .*\((body|reset)"),
        ('void body(void) { __asm__ volatile("udf #0"); }', r"invalid instruction at .*\((body|reset)"),
        ('void body(void) { for (;;) __asm__ volatile(""); }', r"still busy after 10000 cycles, at .*\((body|reset)"),
        ("void body(void) { ((void (*)(void))0x60000001)(); }", "jump to 0x60000000"),
        (
            "int f(int n) { volatile char frame[512]; frame[n & 511] = n; return f(n + 1) + frame[0]; }\n"
            "void body(void) { number(f(0)); }",
            r"write to 0x0fffff.., where the board has no memory, at .*\(f\+",
        ),
    ],
    ids=["write", "write to flash", "undefined", "hang", "jump", "stack overflow"],
)
def test_what_goes_wrong_is_named_with_pc_and_symbol(body: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CellError, match=message):
        lines(firmware(tmp_path, body), 3, max_cycles=10_000)


SMLAD = r"""
void body(void)
{
    register uint32_t a __asm__("r0") = 0x00030002, b __asm__("r1") = 0x00050007;
    __asm__ volatile(".inst.w 0xFB201001" : "+r"(a) : "r"(b)); /* smlad r0, r0, r1, r1 */
    number(a);
    put("\n");
}
"""
FMA = r"""
void body(void)
{
    REGISTER(0xE000ED88) |= 0xFu << 20;
    __asm__ volatile("dsb\n isb\n");
    volatile float a = 3.0f, b = 5.0f;
    float c = 7.0f, x = a, y = b;
    __asm__ volatile("vfma.f32 %0, %1, %2" : "+t"(c) : "t"(x), "t"(y));
    number((uint32_t)c);
    put("\n");
}
"""
ARMV8_FPU = FMA.replace("vfma.f32", "vmaxnm.f32")


@pytest.mark.parametrize("name", ["nucleo_l476rg", "nucleo_u575zi_q", "nucleo_f767zi"])
def test_cores_with_dsp_and_fpu_execute_both(name: str, tmp_path: Path) -> None:
    board: Board = load_registry().get("boards", name)
    packed = 0x00050007 + 2 * 7 + 3 * 5
    assert lines(firmware(tmp_path, SMLAD, board), 3, board=board) == ["0", str(packed), "done"]
    assert lines(firmware(tmp_path, FMA, board), 3, board=board) == ["0", "22", "done"]
    if board.core.name != "cortex-m4f":
        assert lines(firmware(tmp_path, ARMV8_FPU, board), 3, board=board) == ["0", "5", "done"]


def test_cortex_m3_has_no_dsp(tmp_path: Path) -> None:
    """PKHBT r0, r0, r1 is undefined there (unicorn lets SMLAD pass; the compiler makes neither for this core)."""
    board: Board = load_registry().get("boards", "nucleo_f103rb")
    with pytest.raises(CellError, match=r"invalid instruction at .*\((body|reset)"):
        lines(firmware(tmp_path, SMLAD.replace("0xFB201001", "0xEAC00001"), board), 3, board=board)
    assert lines(firmware(tmp_path, SMLAD.replace("0xFB201001", "0xEAC00001")), 3)[1] == str(0x00050002)


def test_waiting_for_input_in_vain_is_said(tmp_path: Path) -> None:
    with pytest.raises(CellError, match="waits for input and sent no line"):
        lines(firmware(tmp_path, "void body(void) {}"), 3)
