# SPDX-License-Identifier: Apache-2.0
"""Flash and RAM of a linked program, by use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from kilobench.contracts import Board


@dataclass(frozen=True)
class Sizes:
    """Bytes. Flash: weights, runtime (kernels, model, protocol, initial data), board support. RAM: arena, static, stack."""

    weights: int
    runtime: int
    board_support: int
    arena: int
    static: int
    stack_reserved: int

    @property
    def flash_bytes(self) -> int:
        """All of the flash used."""
        return self.weights + self.runtime + self.board_support


def sizes(elf: Path) -> Sizes:
    """From the sections that the linker script of kilobench.device.build makes."""
    with elf.open("rb") as file:
        size = {section.name: int(section["sh_size"]) for section in ELFFile(file).iter_sections()}
    return Sizes(
        weights=size.get(".weights", 0),
        runtime=size[".text"] + size.get(".data", 0),
        board_support=size[".vectors"] + size[".port"],
        arena=size[".arena"],
        static=size.get(".data", 0) + size.get(".bss", 0),
        stack_reserved=size[".stack"],
    )


def used(elf: Path, linked: Board) -> tuple[int, list[int]]:
    """Bytes from the origins of the flash and of each RAM region to the end of what lies there, alignment included.

    ``linked`` is the board that the program was linked for.
    """
    with elf.open("rb") as file:
        program = ELFFile(file)
        image = [s["p_paddr"] + s["p_filesz"] for s in program.iter_segments("PT_LOAD") if s["p_filesz"]]
        sections = [(s["sh_addr"], s["sh_size"]) for s in program.iter_sections() if s["sh_flags"] & SH_FLAGS.SHF_ALLOC]
    ends = [
        max(
            (at + size for at, size in sections if size and 0 <= at - region.origin < region.bytes),
            default=region.origin,
        )
        for region in linked.ram
    ]
    return max(image) - linked.flash.origin, [end - r.origin for end, r in zip(ends, linked.ram, strict=True)]


def overflow(elf: Path, board: Board, linked: Board) -> tuple[int, int]:
    """By how many bytes a program exceeds the board's flash and RAM, with the stack as reserved: the linker's verdict.

    ``linked`` is the board as it was linked for, whose regions may be larger and lie elsewhere.
    """
    flash, ram = used(elf, linked)
    over_ram = sum(max(0, taken - region.bytes) for taken, region in zip(ram, board.ram, strict=True))
    return max(0, flash - board.flash.bytes), over_ram
