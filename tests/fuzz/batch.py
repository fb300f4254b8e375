# SPDX-License-Identifier: Apache-2.0
"""Many models in one host library and in one firmware per board, held to the simulation.

A build per model would take a second; here model.c files are compiled ten at a time, with all that they define renamed, and
linked with one copy of the kernels. Arenas are filled with poison, another on boards than on the host, so that a kernel
that reads what it did not write or writes outside of its arena is found too.
"""

from __future__ import annotations

import ctypes
import re
import shlex
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph, pack
from kilobench.compile.host import FLAGS, zig
from kilobench.compile.simulate import simulate
from kilobench.contracts import Board, CellError
from kilobench.device.build import _options, enlarged, linker_script
from kilobench.device.emulator import EmulatedBoard
from kilobench.paths import hardware_dir

INPUTS = 2
"""Of every graph."""
MAX_CYCLES = 10_000_000_000
_UNIT = 10
"""Models per C file."""
_LOCAL = re.compile(r"^(?:static|typedef)\b[^=;({]*?\b(\w+)\s*(?=[\[=(;]|KB_WEIGHTS)", re.MULTILINE)
"""Names that a model.c defines for itself."""
_GUARD, _HOST_POISON = 64, 0x55
_HERE = Path(__file__).parent
_TRAPS = ["-fsanitize=undefined", "-fsanitize-trap=undefined"]
_SOURCES = ("crc32.c", "protocol.c", "libc.c", "ports/emulated/port.c")


@dataclass(frozen=True)
class Case:
    """A graph, INPUTS inputs [INPUTS, h, w, c] as kilobench.compile.simulate takes them, and a name for messages."""

    name: str
    graph: Graph
    inputs: NDArray[Any]

    @cached_property
    def expected(self) -> list[NDArray[Any]]:
        """What the simulation says: the flat output of every input as it lies in memory."""
        output = self.graph.tensors[self.graph.output]
        values = simulate(self.graph, self.inputs)[output.name]
        return [np.ravel(pack(v.astype(bool)) if output.dtype == "bit" else v) for v in values]

    @property
    def input_bytes(self) -> bytes:
        """All inputs as the model takes them."""
        bits = self.graph.tensors[self.graph.input].dtype == "bit"
        return np.ascontiguousarray(pack(self.inputs.astype(bool)) if bits else self.inputs).tobytes()

    def prefixes(self) -> Iterator[Case]:
        """The same, cut after the first, second, ... operator."""
        for count in range(1, len(self.graph.ops) + 1):
            ops = self.graph.ops[:count]
            graph = Graph(self.graph.tensors, ops, self.graph.input, (ops[-1].output,))
            yield Case(f"{self.name}, after {count} operators", graph, self.inputs)

    def __str__(self) -> str:
        tensors = self.graph.tensors
        lines = [self.name]
        for op in self.graph.ops:
            maps = [f"{name} {tensors[name].dtype} {list(tensors[name].shape)}" for name in (*op.inputs, op.output)]
            attrs = " ".join(f"{key}={value}" for key, value in op.attrs.items())
            lines.append(f"  {op.name} {op.kind} {', '.join(maps[:-1])} -> {maps[-1]} {attrs}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Target:
    """A board; with ``traps`` its firmware stops at undefined behaviour: an overflow, a shift too far, a misaligned pointer.

    A cast to a wider type is such a pointer: compilers may merge two of its loads into one LDRD or LDM, which faults on
    Cortex-M4 silicon. memcpy is not.
    """

    board: Board
    traps: bool = False

    def __str__(self) -> str:
        return f"{self.board.name} with traps" if self.traps else self.board.name


class Batch:
    """The C of some cases, written to a folder."""

    def __init__(self, cases: Iterable[Case], folder: Path) -> None:
        self.cases, self.folder = list(cases), folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        sizes = [self._write(index, case) for index, case in enumerate(self.cases)]
        self._arena_bytes = max(sizes)
        head = f"#define FUZZ_INPUTS {INPUTS}\n#define FUZZ_ARENA_BYTES {self._arena_bytes}\n"
        (self.folder / "batch.h").write_text(head)
        for first in range(0, len(self.cases), _UNIT):
            unit = self._unit(range(first, min(first + _UNIT, len(self.cases))))
            (self.folder / f"models{first}.c").write_text(unit)
        (self.folder / "table.c").write_text(self._table())

    def host(self) -> list[list[NDArray[Any]]]:
        """Outputs of host C by case and input, empty where it wrote outside of its arena; CellError if it does not compile."""
        made = self.folder / "host.so"
        self._compile([*FLAGS, "-shared"], [], made)
        library = ctypes.CDLL(str(made))
        library.fuzz_run.restype = ctypes.c_void_p
        memory = (ctypes.c_double * ((self._arena_bytes + 2 * _GUARD) // 8 + 1))()

        def run(index: int, number: int) -> NDArray[Any]:
            like = self.cases[index].expected[number]
            address = library.fuzz_run(index, number, ctypes.c_uint8(_HOST_POISON), memory)
            return np.frombuffer(ctypes.string_at(address, like.nbytes) if address else b"", dtype=like.dtype)

        return [[run(index, number) for number in range(INPUTS)] for index in range(len(self.cases))]

    def emulated(self, target: Target) -> list[str]:
        """What the emulated board answers by case: the CRC-32 of every output in hex, or what went wrong."""
        folder, board = self.folder / str(target), target.board
        folder.mkdir()
        (folder / "board_config.h").write_text(f'#define KB_BOARD_NAME "{board.name}"\n#define KB_CLOCK_HZ 1000000u\n')
        (folder / "link.ld").write_text(linker_script(enlarged(board)))
        elf = folder / "firmware.elf"
        options = _options(board.core, "zig")
        flags = [*shlex.split(options["custom_compile_flags"]), "-Wl,--gc-sections", "-T", str(folder / "link.ld")]
        sources = [hardware_dir() / "firmware" / name for name in _SOURCES]
        flags += _TRAPS if target.traps else []
        self._compile([*flags, f"-I{folder}"], [*sources, _HERE / "main.c"], elf)
        answers: list[str] = []
        while len(answers) < len(self.cases):
            answers += self._answers(elf, board, len(answers))
        return answers

    def _answers(self, elf: Path, board: Board, first: int) -> Iterator[str]:
        """From case ``first`` up to the end or to the first that brings the board down."""
        with EmulatedBoard(elf, enlarged(board), max_cycles=MAX_CYCLES) as emulated:
            for index in range(first, len(self.cases)):
                emulated.write(f"{index:04x}".encode())
                try:
                    yield emulated.readline().decode().strip()
                except CellError as error:
                    yield str(error)
                    return

    def _write(self, index: int, case: Case) -> int:
        """model.c and the inputs; the size of its arena."""
        folder = self.folder / f"{index}"
        folder.mkdir()
        layout = emit(case.graph, folder, "fuzz")
        (folder / "inputs").write_bytes(case.input_bytes)
        return layout.arena_bytes

    def _unit(self, indices: range) -> str:
        """One C file of some model.c and their inputs."""
        text = ""
        for index in indices:
            names = sorted(
                {"kb_model", "kb_model_run", *_LOCAL.findall((self.folder / f"{index}/model.c").read_text())}
            )
            text += "".join(f"#define {name} {name}_{index}\n" for name in names)
            text += f'#include "{index}/model.c"\n'
            text += "".join(f"#undef {name}\n" for name in [*names, "KB_ARENA_BYTES", "KB_OUTPUT_BYTES"])
            text += f'_Alignas(16) const unsigned char fuzz_inputs_{index}[] = {{\n#embed "{index}/inputs"\n}};\n'
        return text

    def _table(self) -> str:
        declarations, rows = [], []
        for index, case in enumerate(self.cases):
            output = case.graph.tensors[case.graph.output].bytes
            declarations.append(
                f"extern const kb_model_t kb_model_{index};\nextern const unsigned char fuzz_inputs_{index}[];\n"
                f"void kb_model_run_{index}(uint8_t *arena, kb_after_op after, void *context);\n"
            )
            rows.append(f"    {{&kb_model_{index}, kb_model_run_{index}, fuzz_inputs_{index}, {output}}},\n")
        table = f"const fuzz_model fuzz_models[] = {{\n{''.join(rows)}}};\n"
        return '#include "fuzz.h"\n' + "".join(declarations) + table

    def _compile(self, flags: list[str], sources: list[Path], made: Path) -> None:
        kernels, firmware = hardware_dir() / "kernels", hardware_dir() / "firmware"
        everything = [*sorted(kernels.glob("*.c")), _HERE / "fuzz.c", *sources, *sorted(self.folder.glob("*.c"))]
        includes = [f"-I{folder}" for folder in (kernels, firmware, _HERE, self.folder)]
        what = f"the batch in {self.folder}"
        zig("cc", *flags, "-Wno-c23-extensions", *includes, *map(str, everything), output=made, what=what)


def differences(cases: Iterable[Case], folder: Path, targets: Iterable[Target]) -> dict[str, str]:
    """Where simulation, host C and targets do not agree, by name of case: who differs on which input."""
    batch = Batch(cases, folder)
    host = batch.host()
    answers = {str(target): batch.emulated(target) for target in targets}
    found: dict[str, str] = {}
    for index, case in enumerate(batch.cases):
        problems = [
            f"host C differs from the simulation on input {number}: {_difference(wanted, got)}"
            for number, (wanted, got) in enumerate(zip(case.expected, host[index], strict=True))
            if not _agree(wanted, got)
        ]
        sums = " ".join(f"{zlib.crc32(output.tobytes()):08x}" for output in host[index])
        problems += [
            f"{name} differs from host C: {answer[index]}, not {sums}"
            for name, answer in answers.items()
            if answer[index] != sums
        ]
        if problems:
            found[case.name] = "; ".join(problems)
    return found


def first_difference(case: Case, folder: Path, targets: Iterable[Target]) -> str:
    """Which prefix of a graph is the shortest that differs, and all of its operators."""
    prefixes = {prefix.name: prefix for prefix in case.prefixes()}
    found = differences(prefixes.values(), folder, targets)
    name = next(iter(found), None)
    return f"first {found[name]}\n{prefixes[name]}" if name else f"only the whole graph differs\n{case}"


def _agree(wanted: NDArray[Any], got: NDArray[Any]) -> bool:
    """To the bit, or for floats within 1e-5 of the largest entry (of 1 if that is larger)."""
    if wanted.shape != got.shape:
        return False
    if wanted.dtype != np.float32:
        return np.array_equal(wanted, got)
    return bool(np.abs(wanted - got).max() <= 1e-5 * max(1.0, float(np.abs(wanted).max())))


def _difference(wanted: NDArray[Any], got: NDArray[Any]) -> str:
    if wanted.shape != got.shape:
        return "it wrote outside of its arena"
    worst = int(np.abs(wanted.astype(np.float64) - got).argmax())
    return f"{np.sum(wanted != got)} of {wanted.size} elements, at {worst} {got[worst]!r} and not {wanted[worst]!r}"
