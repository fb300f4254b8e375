"""Flash and RAM of a linked program, by use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from kilobench.api import Board


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


def overflow(sizes: Sizes, board: Board) -> tuple[int, int]:
    """By how many bytes a program exceeds the board's flash and RAM, with the stack as reserved."""
    over_flash = max(0, sizes.flash_bytes - board.flash.bytes)
    small = sizes.static + sizes.stack_reserved
    if len(board.ram) == 1:
        return over_flash, max(0, sizes.arena + small - board.ram_bytes)
    return over_flash, max(0, sizes.arena - board.ram[0].bytes) + max(0, small - board.ram[1].bytes)
