# SPDX-License-Identifier: Apache-2.0
"""What a core waits for its flash, at counts made by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from kilobench.boards import Cache, FlashTiming
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.memory_model import waits
from tests.device.test_emulator import BOARD, firmware

WAITS, LINE, TURNS = 3, 8, 1000
NOTHING = FlashTiming(wait_states=WAITS, read_bytes=LINE, reference="by hand")


def spent(elf: Path, timing: FlashTiming | None) -> int:
    """Cycles of so many turns more of a loop, whatever is around it."""
    board = replace(BOARD, flash_timing=timing)
    with EmulatedBoard(elf, board, waits=timing is not None) as emulated:
        _, short, long = (int(emulated.readline()) for _ in range(3))
    return round((long - short) / TURNS)  # the first run waits for a few lines more


def looped(body: str) -> str:
    """A loop over some assembly, first of 10 turns, then of TURNS more; %1 is at a table in flash, %2 at one in RAM."""
    return (
        "static const uint32_t table[64] __attribute__((aligned(256))) = {1, 2, 3};\n"
        "static uint32_t in_ram[64];\n"
        "__attribute__((noinline)) static uint32_t count(uint32_t turns)\n{\n"
        "    uint32_t before = REGISTER(0xE0001004);\n"
        f'    __asm__ volatile(".balign 256\\n1: {body} subs %0, #1\\n bne 1b\\n nop\\n nop\\n"\n'
        '        : "+r"(turns) : "r"(table), "r"(in_ram) : "r4", "r5", "r6", "memory", "cc");\n'
        "    return REGISTER(0xE0001004) - before;\n}\n"
        f'void body(void) {{ number(count(10)); put("\\n"); number(count({TURNS + 10})); put("\\n"); }}\n'
    )


def nops(lines: int) -> str:
    """So many lines of code with the two instructions that end a loop: four halves each."""
    return "nop\\n " * (4 * lines - 2)


@pytest.mark.parametrize(
    ("lines", "more", "waited"),
    [
        (1, {}, 0),
        (2, {}, 2 * WAITS),
        (3, {}, 3 * WAITS),
        (2, {"instruction_cache": Cache(1, 2, LINE)}, 0),
        (3, {"instruction_cache": Cache(1, 2, LINE)}, 3 * WAITS),
        (3, {"instruction_cache": Cache(2, 2, LINE)}, 0),
        (5, {"instruction_cache": Cache(2, 2, LINE)}, 3 * WAITS),
        (3, {"unified_cache": Cache(1, 4, LINE)}, 0),
        (3, {"prefetch": True}, WAITS),
        (3, {"prefetch": True, "wait_states": 6}, 6 + 2 + 2),
        (4, {"instruction_cache": Cache(1, 1, 2 * LINE)}, 2 * (WAITS + WAITS + 1)),
        (8, {"wait_states": 0}, 0),
    ],
)
def test_fetches_wait_for_lines_that_are_not_kept(
    lines: int, more: dict[str, object], waited: int, tmp_path: Path
) -> None:
    """A cache of two ways keeps no line of a loop over three, since the one that it drops is the next. Prefetching, a line of
    four cycles hides four wait states of the next one, but nothing is there after a jump.
    """
    elf = firmware(tmp_path, looped(nops(lines)))
    alone = spent(elf, None)
    assert alone == 4 * lines - 2 + 3
    assert spent(elf, replace(NOTHING, **more)) - alone == waited


LOADS = "ldr r4, [%1]\\n ldr r5, [%1, #4]\\n ldr r6, [%1, #8]\\n ldr r4, [%1, #64]\\n "


@pytest.mark.parametrize(
    ("more", "waited"),
    [
        ({}, 4 * WAITS),
        ({"data_wait_states": 7}, 4 * 7),
        ({"data_buffer": True}, 3 * WAITS),
        ({"data_cache": Cache(1, 2, LINE)}, 3 * WAITS),
        ({"data_cache": Cache(1, 4, LINE)}, 0),
        ({"data_cache": Cache(8, 1, LINE)}, 2 * WAITS),
        ({"data_cache": Cache(16, 1, LINE)}, 0),
    ],
)
def test_reads_of_data_wait_for_lines_that_are_not_kept(more: dict[str, object], waited: int, tmp_path: Path) -> None:
    """Words 0, 1, 2 and 16 are in lines 0, 0, 1 and 8. Code is kept, whatever happens to data."""
    elf = firmware(tmp_path, looped(LOADS))
    timing = replace(NOTHING, instruction_cache=Cache(1, 64, LINE), **more)
    assert spent(elf, timing) - spent(elf, None) == waited


def test_reads_of_ram_wait_for_nothing(tmp_path: Path) -> None:
    elf = firmware(tmp_path, looped(LOADS.replace("%1", "%2")))
    assert spent(elf, replace(NOTHING, instruction_cache=Cache(1, 64, LINE))) == spent(elf, None)


def test_waits_for_weights_are_counted_apart(tmp_path: Path) -> None:
    """Three reads in every turn that no buffer keeps; only where the table is among the weights."""
    for attribute, share in (('section(".weights"), ', 1), ("", 0)):
        (folder := tmp_path / str(share)).mkdir()
        elf = firmware(folder, looped(LOADS).replace("__attribute__((aligned", f"__attribute__(({attribute}aligned"))
        with EmulatedBoard(
            elf, replace(BOARD, flash_timing=replace(NOTHING, data_buffer=True)), waits=True
        ) as emulated:
            emulated.run()
            assert emulated.weights_waits == share * 3 * WAITS * (TURNS + 20)


def test_data_and_code_share_a_cache(tmp_path: Path) -> None:
    """Three lines of code and three of data in a cache of four: none is kept."""
    elf = firmware(tmp_path, looped(LOADS + "nop\\n " * 6))
    assert spent(elf, replace(NOTHING, unified_cache=Cache(1, 8, LINE))) == spent(elf, None)
    assert spent(elf, replace(NOTHING, unified_cache=Cache(1, 4, LINE))) > spent(elf, None)


CONDITIONAL = r"""
__attribute__((noinline)) static uint32_t sum(const uint32_t *from, uint32_t count)
{
    uint32_t total = 0;
    __asm__ volatile("1: tst %1, #1\n itt ne\n ldrne r4, [%2]\n addne %0, r4\n ldr r4, [%2], #4\n adds %0, r4\n"
                     "subs %1, #1\n ite ne\n movne r4, #0\n ldreq r4, [%2, #-4]\n bne 1b\n adds %0, r4\n"
                     : "+r"(total), "+r"(count), "+r"(from) : : "r4", "memory", "cc");
    return total;
}
static const uint32_t table[8] = {1, 20, 300, 4000, 50000, 600000, 7000000, 80000000};
void body(void) { number(sum(table, 8)); put("\n"); }
"""


def test_loads_under_a_condition_are_executed_as_ever(tmp_path: Path) -> None:
    """A hook of reads leaves unicorn's IT state behind, which then holds for the next block."""
    elf, said = firmware(tmp_path, CONDITIONAL), []
    for timing in (None, NOTHING):
        with EmulatedBoard(elf, replace(BOARD, flash_timing=timing), waits=timing is not None) as emulated:
            said.append([emulated.readline() for _ in range(3)])
    assert said[0] == said[1]
    assert said[0][1] == b"248258341\n"


def test_a_board_without_a_model_waits_for_nothing() -> None:
    assert waits(replace(BOARD, flash_timing=None)) == ()
