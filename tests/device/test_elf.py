# SPDX-License-Identifier: Apache-2.0
"""ELF files of others: whatever their headers say, they are read or refused in a few words."""

import random
import struct
from collections import Counter
from pathlib import Path

import pytest

from kilobench.commands.terminal import emulate
from kilobench.contracts import UserError
from kilobench.device import elf
from tests.device.conftest import Example

HEADER, SEGMENT, SECTION = 52, 32, 40
WORDS = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def mutated(program: bytes, rng: random.Random) -> bytes:
    """Some bytes or words of its headers are others, or its end is missing."""
    data = bytearray(program)
    sections = struct.unpack_from("<I", data, 32)[0]
    for _ in range(rng.choice([1, 1, 2, 4])):
        table, size = rng.choice([(0, HEADER), (HEADER, SEGMENT * 8), (sections, len(data) - sections)])
        at = table + rng.randrange(size)
        if rng.random() < 0.5:
            data[at] = rng.randrange(256)
        else:
            struct.pack_into("<I", data, at & ~3, rng.choice([*WORDS, len(data), rng.randrange(1 << 32)]))
    return bytes(data if rng.random() < 0.9 else data[: rng.randrange(len(data))])


def test_any_headers_are_read_or_refused(example: Example, tmp_path: Path) -> None:
    program, path = example.firmware.elf.read_bytes(), tmp_path / "mutated.elf"
    found: Counter[str] = Counter()
    for seed in range(400):
        path.write_bytes(mutated(program, random.Random(seed)))
        try:
            elf.sizes(path)
            elf.overflow(path, example.board, example.board)
            found["read"] += 1
        except elf.NoProgram as why:
            assert str(why).isprintable() and str(why).isascii() and len(str(why)) < 150
            found["refused"] += 1
    assert min(found["read"], found["refused"]) > 50


def patched(program: bytes, at: int, word: int) -> bytes:
    data = bytearray(program)
    struct.pack_into("<I", data, at, word)
    return bytes(data)


@pytest.mark.parametrize(
    ("at", "word", "why"),
    [
        (18, 62, "is an ELF file, but no program for a 32-bit Arm or RISC-V core"),
        (28, 0xFFFFFFF0, "its headers at 0xfffffff0"),
        (44, 0xFFFF, "e_phnum is 65535"),
        (48, 0, "e_shnum is 0"),
        (HEADER + 4, 0x7FFFFFFF, "segment 0 lies outside of the file"),
        (HEADER + 16, 0xFFFFFFFF, "segment 0 lies outside of the file"),
        (HEADER + 12, 0x20000000, "bytes of it lie at 0x20000000, outside of the flash of nucleo_l476rg"),
        (HEADER + 12, 0x07FFFFFF, "bytes of it lie at 0x7ffffff, outside of the flash of nucleo_l476rg"),
    ],
)
def test_what_is_wrong_is_said(at: int, word: int, why: str, example: Example, tmp_path: Path) -> None:
    path = tmp_path / "wrong.elf"
    path.write_bytes(patched(example.firmware.elf.read_bytes(), at, word))
    with pytest.raises(UserError) as caught:
        emulate(path, example.board, pty=False)
    assert str(caught.value).startswith(f"{path} is no firmware for nucleo_l476rg: ")
    assert why in str(caught.value)


def test_a_program_without_our_sections_is_none(example: Example, tmp_path: Path) -> None:
    path = tmp_path / "other.elf"
    path.write_bytes(example.firmware.elf.read_bytes().replace(b"\0.arena\0", b"\0.arenb\0"))
    with pytest.raises(UserError, match=r"is no firmware for nucleo_l476rg: it has no section \.arena$"):
        emulate(path, example.board, pty=False)
