# SPDX-License-Identifier: Apache-2.0
"""One inference of any firmware of ours, such as one on an Arduino core, whose start no emulated board could run.

Only the model's function is called, as the firmware's own ``infer`` does: the very instructions that a real board has run.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import unicorn.unicorn_py3.unicorn as binding
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from unicorn import arm_const

from kilobench.boards import Board
from kilobench.contracts import CellError
from kilobench.device.cortex_m import CortexM
from kilobench.device.emulator import MAX_CYCLES, EmulatedBoard

_MODEL, _AFTER, _ARENA = "kb_model_run", "after_op", "arena"
"""Symbols of hardware/firmware/main.c and of a model."""
_COUNTING = "_ZL8counting"
"""Of the Arduino port: whether the counter was seen to count."""
_STACK_GAP = 64
_CYCCNT = 0x1004
"""From the system registers on."""


class _Stamped(CortexM):
    """Remembers the cycles in which its counter was read."""

    def __init__(self, *known: Any) -> None:
        super().__init__(*known)
        self.reads: list[int] = []

    def _read(self, engine: Any, offset: int, size: int, data: object) -> int:
        value = super()._read(engine, offset, size, data)
        if offset == _CYCCNT:
            self.reads.append(self.cycles)
        return value


class Inference(EmulatedBoard):
    """The program ``elf``, as its start would leave the memory; see EmulatedBoard for ``board`` and ``waits``."""

    machines: ClassVar = {"ARM": _Stamped}

    def __init__(self, elf: Path, board: Board, *, waits: bool = False, max_cycles: int = MAX_CYCLES) -> None:
        super().__init__(elf, board, waits=waits, max_cycles=max_cycles)

    def run_on(self, data: bytes, offset: int) -> tuple[int, list[int]]:
        """Cycles of one inference on an input that lies at ``offset`` in the arena, and of everything made on the way.

        The latter is empty where the firmware reads no DWT. Raises CellError where the code does what no emulated board can.
        """
        self._engine.mem_write(self._symbols[_ARENA] + offset, data)
        top = self._board.ram[-1].origin + self._board.ram[-1].bytes
        self._engine.reg_write(arm_const.UC_ARM_REG_SP, top - _STACK_GAP)
        self._engine.reg_write(arm_const.UC_ARM_REG_FPEXC, 1 << 30)
        for number, value in enumerate((self._symbols[_ARENA], self._symbols[_AFTER] | 1, 0)):
            self._engine.reg_write(arm_const.UC_ARM_REG_R0 + number, value)
        self._engine.reg_write(arm_const.UC_ARM_REG_LR, self._until | 1)
        self._pc = self._symbols[_MODEL] & ~1
        before = self.cycles
        self._run()
        assert isinstance(self._machine, _Stamped), "the only one here"
        stamps = [before, *self._machine.reads]
        return self.cycles - before, [after - at for at, after in pairwise(stamps)]

    def _load(self, path: Path) -> list[tuple[int, bytes]]:
        """Every section where the program expects it, initial data too; a word of the vectors, never run, is returned to."""
        with path.open("rb") as file:
            elf = ELFFile(file)
            self._symbols = _symbols(elf, path)
            sections = [s for s in elf.iter_sections() if s["sh_flags"] & SH_FLAGS.SHF_ALLOC and s["sh_size"]]
            filled = [section for section in sections if section["sh_type"] != "SHT_NOBITS"]
            image = [(section["sh_addr"], section.data()) for section in filled]
        for section, (address, content) in zip(filled, image, strict=True):
            try:
                self._engine.mem_write(address, content)
            except binding.UcError:
                raise CellError(f"{path}: {section.name} lies where {self._board.name} has no memory") from None
        if _COUNTING in self._symbols:
            self._engine.mem_write(self._symbols[_COUNTING], b"\1")
        flash = self._board.flash
        ends = [s["sh_addr"] + s["sh_size"] for s in filled if s["sh_addr"] - flash.origin in range(flash.bytes)]
        self._flash_used = max(ends, default=flash.origin) - flash.origin
        self._functions = sorted((address & ~1, name) for name, address in self._symbols.items())
        self._weights = (0, 0)
        self._until = flash.origin + 4
        return image


def _symbols(elf: ELFFile, path: Path) -> Mapping[str, int]:
    """Addresses by name. Raises CellError where those of our firmware are missing."""
    table = elf.get_section_by_name(".symtab")
    named = table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
    symbols = {symbol.name: symbol["st_value"] for symbol in named if symbol.name}
    if missing := [name for name in (_MODEL, _AFTER, _ARENA) if name not in symbols]:
        raise CellError(f"{path}: the program has no symbol {missing[0]}")
    return symbols
