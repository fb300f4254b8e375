# SPDX-License-Identifier: Apache-2.0
"""Models on every emulated board."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.compile.graph import DType, Graph, Tensor
from kilobench.compile.operator import bind
from kilobench.contracts import CellError, UserError
from kilobench.device import elf
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.measuring.emulator import measure
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder
from tests.untrained import emitted, untrained

EMULATED = [name for name, entry in load_registry().entries["boards"].items() if entry.value.core.timing]  # type: ignore[union-attr]
BOARDS = [
    "nrf52840_dk",
    "nucleo_f072rb",
    "nucleo_f103rb",
    "nucleo_f446re",
    "nucleo_f767zi",
    "nucleo_l476rg",
    "nucleo_u575zi_q",
    "nucleo_wl55jc",
    "raspberry_pi_pico",
    "raspberry_pi_pico_2_riscv",
    "esp32_c3_devkitm_1",
]
"""One or more of every core that is emulated, and of every kind of memory map; the others differ from them in numbers."""


def model(dtype: str = "int8", width: int = 24) -> Graph:
    """An int8 or float32 stem, the former on an int8 or int16 input, a binary layer, and 5 classes."""
    b = Builder(1)
    source = b.tensor((1, width, 3), dtype)  # type: ignore[arg-type]
    stem, body = (
        ((9, (1, 4), (1, 1), (0, 3)), (8, (1, 4), (2, 1), (0, 3)))
        if dtype != "float32"
        else ((1, (1, 2), (2, 2), (0, 1)), (8, (1, 3), (2, 1), (0, 1)))
    )
    kept: DType = "float32" if dtype == "float32" else "int8"
    x = b.conv(source, kept, *stem)
    x = b.conv(b.binarize(x), kept, *body)
    height, length, channels = x.shape
    output = Tensor("out", (1, 1, channels), x.dtype, x.scale, x.zero_point)
    b.tensors["out"] = output
    attrs = {"kernel": (height, length), "stride": (1, 1), "padding": (0, 0)}
    b.op("max_pool", [x], output, attrs, {})
    return b.graph(source, output)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
@pytest.mark.parametrize("name", BOARDS)
def test_every_board_equals_the_host_bit_for_bit(name: str, dtype: str, tmp_path: Path) -> None:
    graph, board = model(dtype), load_registry().get("boards", name)
    expected = emitted(graph, tmp_path / "model", 8)
    measured = measure(tmp_path / "model", graph, expected, board, tmp_path / "build", "zig")
    assert len(measured.cycles) == 8
    assert len(measured.layer_cycles) == len(graph.ops)
    assert 0 < measured.stack_bytes < 2048
    assert measured.sizes.arena >= 16
    assert (measured.over_flash_bytes, measured.over_ram_bytes) == (0, 0)


@pytest.mark.parametrize("name", sorted({*EMULATED} - {*BOARDS}))
def test_firmware_of_the_other_boards_lies_in_their_memory(name: str, tmp_path: Path) -> None:
    board: Board = load_registry().get("boards", name)
    emit(model(), tmp_path, "m")
    with (built := build(tmp_path, board, tmp_path / "build")).elf.open("rb") as file:
        program = ELFFile(file)
        symbols = {s.name: s["st_value"] for s in program.get_section_by_name(".symtab").iter_symbols()}  # type: ignore[union-attr]
        vectors = program.get_section_by_name(".vectors")
    assert built.linked == board
    assert symbols["arena"] == board.ram[0].origin or len(board.ram) == 1
    assert symbols["kb_stack_bottom"] == board.ram[-1].origin
    assert vectors is not None and vectors["sh_addr"] == board.flash.origin
    with EmulatedBoard(built.elf, board) as emulated:
        Session(emulated, name).load(bytes(24 * 3))


def test_every_core_is_among_the_boards_that_are_fully_tested() -> None:
    boards = load_registry().entries["boards"]
    cores = [{boards[name].value.core.name for name in names} for names in (EMULATED, BOARDS)]  # type: ignore[union-attr]
    assert cores[0] == cores[1]


def test_what_cannot_be_emulated_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^esp32_devkitc cannot be emulated \(xtensa-lx6\); run the real one: --on serial$"
    ):
        build(tmp_path, load_registry().get("boards", "esp32_devkitc"), tmp_path / "build")


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")
@pytest.mark.parametrize("name", [n for n in BOARDS if "gcc" in load_registry().get("boards", n).core.flags])
def test_firmware_of_the_other_toolchain_equals_the_host_too(name: str, tmp_path: Path) -> None:
    graph, board = untrained("resnet8[width=4]", "int8", (3, 8, 8), 3), load_registry().get("boards", name)
    expected = emitted(graph, tmp_path / "model", 8)
    measured = measure(tmp_path / "model", graph, expected, board, tmp_path / "build", "gcc")
    assert measured.toolchain.startswith("gcc ")


def test_a_difference_names_the_first_operator(tmp_path: Path) -> None:
    graph, board = model(), load_registry().get("boards", "nucleo_l476rg")
    expected = emitted(graph, tmp_path / "model", 8)
    second = graph.ops[1]
    second.params["flip"] ^= np.uint32(1)
    emit(graph, tmp_path / "model", "untrained")
    expected = replace(expected, outputs=expected.outputs + 1)
    with pytest.raises(CellError, match=f"first at operator {second.name} "):
        measure(tmp_path / "model", graph, expected, board, tmp_path / "build", "zig")


def test_programs_do_not_depend_on_where_they_are_built(tmp_path: Path) -> None:
    emit(model(), tmp_path, "m")
    board = load_registry().get("boards", "nrf52840_dk")
    programs = [build(tmp_path, board, tmp_path / folder).elf.read_bytes() for folder in ("a", "longer name")]
    assert programs[0] == programs[1]


def test_what_does_not_fit_is_said_and_measured_all_the_same(tmp_path: Path) -> None:
    graph, board = model("float32", 8000), load_registry().get("boards", "nucleo_l476rg")
    expected = emitted(graph, tmp_path / "model", 8)
    measured = measure(tmp_path / "model", graph, expected, board, tmp_path / "build", "zig")
    assert measured.over_ram_bytes == measured.sizes.arena - board.ram[0].bytes > 0
    assert measured.over_flash_bytes == 0
    assert min(measured.cycles) > 0


def test_sections_add_up(tmp_path: Path) -> None:
    graph = model()
    memory = emit(graph, tmp_path, "m")
    sizes = elf.sizes(build(tmp_path, load_registry().get("boards", "nucleo_f446re"), tmp_path / "b").elf)
    assert sizes.arena == memory.arena_bytes
    fields = [field for op in graph.ops for field in bind(graph, op).fields().values()]
    arrays = [field for field in fields if isinstance(field, np.ndarray)]
    weights = sum(array.nbytes for array in arrays)
    assert weights <= sizes.weights <= weights + 16 * len(arrays)


def test_a_short_counter_that_wraps_loses_no_cycles(tmp_path: Path) -> None:
    """SysTick on the M0+ has 24 bits; its exception extends it. The emulator's own count is the truth."""
    graph, board = model("float32", 8000), load_registry().get("boards", "raspberry_pi_pico")
    emit(graph, tmp_path, "m")
    program = build(tmp_path, board, tmp_path / "build").elf
    x = np.random.default_rng(0).normal(0, 1, (8000, 3)).astype(np.float32)
    with EmulatedBoard(program, board) as emulated:
        session = Session(emulated, board.name)
        session.load(x.tobytes())
        before = emulated.cycles
        session.infer()
        spent = emulated.cycles - before
        assert session.cycles() > 1.7 * (1 << 24)
        assert 0 < spent - session.cycles() < 100_000
        session.load(x.tobytes())
        assert max(cycles for _, cycles, _ in session.layers()) > 1 << 24
