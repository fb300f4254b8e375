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
import shutil
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kilobench.boards import Board
from kilobench.closure import digest_of, hashed
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph, pack
from kilobench.compile.host import FLAGS
from kilobench.compile.simulate import simulate
from kilobench.contracts import CellError
from kilobench.device.build import _options, enlarged, linker_script
from kilobench.device.emulator import EmulatedBoard
from kilobench.files import intact, write_kept
from kilobench.paths import cache_dir, hardware_dir
from kilobench.scratch import temporary_folder
from kilobench.toolchain import GCC, Toolchain, clean_environment, failure, toolchain_name, zig
from tests.compile.graphs import random_inputs

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
    toolchain: Toolchain = "zig"

    def __str__(self) -> str:
        return f"{self.board.name} with traps" if self.traps else self.board.name

    @property
    def flags(self) -> list[str]:
        """Of the compiler, for this board's core."""
        options = _options(self.board.core, self.toolchain)
        return [*shlex.split(options["custom_compile_flags"]), *(_TRAPS if self.traps else [])]


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
        sources = [*_kernels(), _HERE / "fuzz.c", *self.sources]
        _compile("zig", [*FLAGS, "-shared"], sources, self.folder, made)
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
        folder = self.folder / str(target)
        folder.mkdir()
        elf = self.program(target, [_HERE / "main.c", _HERE / "fuzz.c", engine(target)], folder)
        return list(self.answers(elf, target.board))

    def program(self, target: Target, others: list[Path], folder: Path) -> Path:
        """The firmware in ``folder``: the cases and ``others``, its main function and the ``engine``."""
        (folder / "link.ld").write_text(linker_script(enlarged(target.board)))
        flags = [*target.flags, "-Wl,--gc-sections", "-Wl,--build-id=none", "-T", str(folder / "link.ld")]
        made = folder / "firmware.elf"
        _compile(target.toolchain, flags, [*others, *self.sources], self.folder, made)
        return made

    @property
    def sources(self) -> list[Path]:
        """The C of all cases."""
        return sorted(self.folder.glob("*.c"))

    def answers(self, elf: Path, board: Board) -> Iterator[str]:
        """The line of every case; for one that brings the board down, how it did, and the board starts again."""
        first = 0
        while first < len(self.cases):
            with EmulatedBoard(elf, enlarged(board), max_cycles=MAX_CYCLES) as emulated:
                for index in range(first, len(self.cases)):
                    first += 1
                    emulated.write(f"{index:04x}".encode())
                    try:
                        yield emulated.readline().decode().strip()
                    except CellError as error:
                        yield str(error)
                        break

    def _write(self, index: int, case: Case) -> int:
        """model.c; the size of its arena."""
        folder = self.folder / f"{index}"
        folder.mkdir()
        return emit(case.graph, folder, "fuzz").arena_bytes

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
            text += f"_Alignas(16) const unsigned char fuzz_inputs_{index}[] =\n{_literals(self.cases[index].input_bytes)};\n"
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


def engine(target: Target) -> Path:
    """What all programs for a target have in common, as one object, made once and kept in the cache."""
    firmware = hardware_dir() / "firmware"
    sources = [*_kernels(), *(firmware / name for name in _SOURCES)]
    headers = sorted({header for source in sources for header in source.parent.glob("*.h")} | set(firmware.glob("*.h")))
    name = hashed(digest_of([*sources, *headers]), target.flags, toolchain_name(target.toolchain), target.board.name)
    path = cache_dir() / "engines" / f"{name}.o"
    if not intact(path):
        with temporary_folder() as folder:
            config = f'#define KB_BOARD_NAME "{target.board.name}"\n#define KB_CLOCK_HZ 1000000u\n'
            (folder / "board_config.h").write_text(config)
            made = folder / "engine.o"
            _compile(target.toolchain, [*target.flags, "-r", "-nostdlib"], sources, folder, made)
            write_kept(path, made.read_bytes())
    return path


def _kernels() -> list[Path]:
    return sorted((hardware_dir() / "kernels").glob("*.c"))


def _literals(data: bytes) -> str:
    """Bytes as C's string literals, which compilers read faster than numbers."""
    lines = (data[first : first + 64] for first in range(0, len(data), 64))
    return "\n".join('"' + "".join(f"\\x{byte:02x}" for byte in line) + '"' for line in lines)


def _compile(toolchain: Toolchain, flags: list[str], sources: list[Path], folder: Path, made: Path) -> None:
    """``made`` of these sources; ``folder`` holds headers of their own."""
    firmware = hardware_dir() / "firmware"
    includes = [f"-I{path}" for path in (hardware_dir() / "kernels", firmware, _HERE, folder)]
    arguments, what = [*flags, *includes, *map(str, sources)], f"{made.name} of {folder}"
    if toolchain == "zig":
        return zig("cc", *arguments, output=made, what=what)
    command = [GCC, *arguments, "-lgcc", "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), check=False)
    if done.returncode:
        raise failure(f"{what} does not compile", done.stderr, done.returncode)


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


def seeded(seed: int, graph: Graph) -> Case:
    """A graph that was made of a seed, with inputs of the same."""
    return Case(f"seed {seed}", graph, random_inputs(graph, INPUTS, seed))


def check(cases: list[Case], folder: Path, targets: list[Target]) -> None:
    """Fails the test if there are ``differences``: with these, and the first operator of the first case that has one."""
    found = differences(cases, folder / "batch", targets)
    shutil.rmtree(folder / "batch")
    if found:
        wrong = next(c for c in cases if c.name in found)
        named = "\n".join(f"{name}: {what}" for name, what in found.items())
        pytest.fail(f"{named}\n{first_difference(wrong, folder / 'prefixes', targets)}", pytrace=False)


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
