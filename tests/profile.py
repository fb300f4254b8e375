# SPDX-License-Identifier: Apache-2.0
"""Where the cycles of an inference go: by function, and by the basic blocks of the slowest.

    python -m tests.profile MODEL [BOARD]

MODEL is a model file, as in leaderboard/models; its program is built and runs one input on the emulated BOARD (nucleo_l476rg).
Addresses are those of the program that is left behind, for a disassembler.
"""

import sys
import tempfile
from bisect import bisect_right
from collections import Counter
from pathlib import Path

from elftools.elf.elffile import ELFFile

from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.device.build import build
from kilobench.device.counter import PythonCounter
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.measuring.evaluate import load_model_file
from kilobench.plugins.registry import load_registry
from kilobench.results.packed import unpacked

_BLOCKS = 8


def main(path: str, name: str = "nucleo_l476rg") -> None:
    """Build, run, and print."""
    folder = Path(tempfile.mkdtemp())
    with unpacked(Path(path)) as file:
        model = load_model_file(file)
    board: Board = load_registry().get("boards", name)
    emit(model.graph, folder, "profile")
    firmware = build(folder, board, folder / "build")
    with EmulatedBoard(firmware.elf, firmware.linked, native=False) as emulated:
        counter = emulated._counter
        assert isinstance(counter, PythonCounter)
        session = Session(emulated, name, model.graph.digest())
        session.load(model.reference.inputs[0].tobytes())
        before = counter.spent.copy()
        session.infer()
        show(counter.spent - before, functions(firmware.elf))
    print(f"\nprogram: {firmware.elf}")


def functions(elf: Path) -> list[tuple[int, str]]:
    """Address and name, in the order of addresses."""
    with elf.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()  # type: ignore[union-attr]
        return sorted((s["st_value"] & ~1, s.name) for s in symbols if s["st_info"]["type"] == "STT_FUNC")


def show(spent: Counter[int], known: list[tuple[int, str]]) -> None:
    """Half cycles by block -> a table of functions, and one of blocks."""
    starts, total = [start for start, _ in known], sum(spent.values())
    names = {address: known[bisect_right(starts, address) - 1][1] for address in spent}
    by_function: Counter[str] = Counter()
    for address, half_cycles in spent.items():
        by_function[names[address]] += half_cycles
    print(f"{total // 2} cycles, the transfer of the result included")
    for name, half_cycles in by_function.most_common(_BLOCKS):
        print(f"{half_cycles // 2:>12}  {100 * half_cycles / total:5.1f} %  {name}")
    print()
    for address, half_cycles in spent.most_common(_BLOCKS):
        print(f"{half_cycles // 2:>12}  {100 * half_cycles / total:5.1f} %  {address:#010x}  {names[address]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
