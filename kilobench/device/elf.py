# SPDX-License-Identifier: Apache-2.0
"""A linked program: what is in its file, and its flash and RAM by use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from kilobench.boards import Board
from kilobench.device.words import plain

_HEADERS = (("e_phoff", "e_phnum", "e_phentsize", 32), ("e_shoff", "e_shnum", "e_shentsize", 40))
"""Of segments and of sections: where, how many, and of how many bytes each."""
_SYMBOL_BYTES = 16
_MACHINES = {"EM_ARM": "ARM", "EM_RISCV": "RISCV32"}
"""Architectures of emulated cores."""


class NoProgram(ValueError):
    """A file that is no program for a 32-bit core that can be emulated, or a damaged one; says what is wrong."""


@dataclass(frozen=True)
class Section:
    """What an address range of a program is called."""

    name: str
    address: int
    size: int
    allocated: bool


@dataclass(frozen=True)
class Program:
    """All of an ELF file that anybody asks for."""

    architecture: str
    """As unicorn names it (kilobench.plugins.cores.architecture)."""
    sections: list[Section]
    image: list[tuple[int, int, int]]
    """What is loaded: physical address, place in the file, and size."""
    functions: list[tuple[int, str]]
    """Sorted by address."""


def read(path: Path) -> Program:
    """Read an ELF file, whose headers may say anything; raises NoProgram in a few words, and OSError."""
    if not path.is_file() and path.exists():
        raise NoProgram("it is no regular file")
    try:
        with path.open("rb") as file:
            return _parsed(ELFFile(file), path.stat().st_size)
    except (OSError, NoProgram):
        raise
    except Exception as error:  # pyelftools has many for headers that are damaged
        raise NoProgram(f"it is no ELF file, or a damaged one ({type(error).__name__})") from None


def _parsed(elf: ELFFile, length: int) -> Program:
    made = elf["e_machine"]
    if (elf.elfclass, elf.little_endian, elf["e_type"]) != (32, True, "ET_EXEC") or made not in _MACHINES:
        raise NoProgram("it is an ELF file, but no program for a 32-bit Arm or RISC-V core")
    for offset, count, size, expected in _HEADERS:
        if elf[size] != expected or not 0 < elf[count] < 0xFF00 or elf[offset] + elf[count] * expected > length:
            raise NoProgram(
                f"its headers at {elf[offset]:#x} ({count} is {elf[count]}) are damaged, or not in the file"
            )
    image: list[tuple[int, int, int]] = []
    sections: list[Section] = []
    functions: dict[int, str] = {}
    for index, segment in enumerate(elf.iter_segments()):
        if segment["p_filesz"] and segment["p_offset"] + segment["p_filesz"] > length:
            raise NoProgram(f"segment {index} lies outside of the file")
        if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]:
            image.append((segment["p_paddr"], segment["p_offset"], segment["p_filesz"]))
    names = elf.get_section(elf["e_shstrndx"])["sh_size"]
    for index, section in enumerate(elf.iter_sections()):
        end = 0 if section["sh_type"] in ("SHT_NOBITS", "SHT_NULL") else section["sh_offset"] + section["sh_size"]
        if end > length or section["sh_link"] >= elf["e_shnum"] or section["sh_name"] >= names:
            raise NoProgram(f"section {index} is damaged, or lies outside of the file")
        flags = section["sh_flags"]
        sections.append(Section(section.name, section["sh_addr"], section["sh_size"], bool(flags & SH_FLAGS.SHF_ALLOC)))
        if isinstance(section, SymbolTableSection):
            if section["sh_entsize"] != _SYMBOL_BYTES:
                raise NoProgram(f"section {index} has symbols of {section['sh_entsize']} bytes")
            symbols = [symbol for symbol in section.iter_symbols() if symbol["st_info"]["type"] == "STT_FUNC"]
            functions |= {symbol["st_value"] & ~1: plain(symbol.name) for symbol in symbols}
    return Program(_MACHINES[made], sections, image, sorted(functions.items()))


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
    """From the sections that the linker script of kilobench.device.build makes; raises NoProgram where one is missing."""
    size = {section.name: section.size for section in read(elf).sections}
    for name in (".text", ".vectors", ".port", ".arena", ".stack"):
        if name not in size:
            raise NoProgram(f"it has no section {name}")
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

    ``linked`` is the board that the program was linked for. Raises NoProgram where something lies before its flash or behind.
    """
    program, flash = read(elf), linked.flash
    for address, _, size in program.image:
        if not flash.origin <= address <= flash.origin + flash.bytes - size:
            raise NoProgram(f"{size} bytes of it lie at {address:#x}, outside of the flash of {linked.name}")
    if not program.image:
        raise NoProgram("it has no contents")
    sections = [(section.address, section.size) for section in program.sections if section.allocated]
    ends = [
        max(
            (at + size for at, size in sections if size and 0 <= at - region.origin < region.bytes),
            default=region.origin,
        )
        for region in linked.ram
    ]
    image = max(address + size for address, _, size in program.image)
    return image - flash.origin, [end - r.origin for end, r in zip(ends, linked.ram, strict=True)]


def overflow(elf: Path, board: Board, linked: Board) -> tuple[int, int]:
    """By how many bytes a program exceeds the board's flash and RAM, with the stack as reserved: the linker's verdict.

    ``linked`` is the board as it was linked for, whose regions may be larger and lie elsewhere.
    """
    flash, ram = used(elf, linked)
    over_ram = sum(max(0, taken - region.bytes) for taken, region in zip(ram, board.ram, strict=True))
    return max(0, flash - board.flash.bytes), over_ram
