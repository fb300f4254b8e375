# SPDX-License-Identifier: Apache-2.0
"""The firmware's protocol on the host under AddressSanitizer and UBSan: every reply to any bytes is the expected one.

KILOBENCH_FUZZ_LINES=1000000 is a million commands; a host without the sanitizers' libraries traps at undefined behaviour alone.
"""

import functools
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kilobench.compile.host import zig
from kilobench.paths import hardware_dir
from tests.fuzz.firmware import BANNER, Expected

LINES, BATCH = int(os.environ.get("KILOBENCH_FUZZ_LINES", "10000")), 10_000
INPUT_BYTES = 28
VARIANTS = [
    (12, "KB_FLOAT32", ()),
    (10, "KB_INT8", ()),
    (12, "KB_FLOAT32", ("KB_BENCHMARK", "KB_VALUES")),
    (10, "KB_INT8", ("KB_BENCHMARK", "KB_VALUES")),
    (10, "KB_INT8", ("KB_BENCHMARK",)),
]
"""Bytes and type of the output; and whether it is one of MLPerf Tiny's, and its results are the output's values."""
HERE = Path(__file__).parent
Build = Callable[..., Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compile for outputs of so many bytes and a type, and what else model_config.h defines."""

    @functools.cache
    def made(output_bytes: int, dtype: str, defined: tuple[str, ...] = ()) -> Path:
        folder = tmp_path_factory.mktemp("firmware")
        arena = 16 + INPUT_BYTES + output_bytes
        sizes = f"#define KB_ARENA_BYTES {arena}\n#define KB_OUTPUT_BYTES {output_bytes}\n"
        (folder / "model_config.h").write_text(
            f"{sizes}#define INPUT_BYTES {INPUT_BYTES}\n#define OUTPUT_DTYPE {dtype}\n"
            + "".join(f'#define {name} "ic01"\n' for name in defined)
        )
        hardware = hardware_dir()
        sources = [*(hardware / "firmware" / name for name in ("main.c", "protocol.c", "crc32.c")), HERE / "firmware.c"]
        flags = ["-O1", "-DKB_ARENA=__attribute__((aligned(16)))", "-Wall", "-Wextra", "-Werror"]
        flags += [f"-I{path}" for path in (folder, hardware / "firmware", hardware / "kernels")]
        program = folder / "firmware"
        command = ["cc", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *flags, *map(str, sources)]
        if shutil.which("cc") and not subprocess.run([*command, "-o", str(program)], capture_output=True).returncode:
            return program
        traps = ["-fsanitize=undefined", "-fsanitize-trap=undefined"]
        zig("cc", *traps, *flags, *map(str, sources), output=program, what="the firmware")
        return program

    return made


def answers(program: Path, sent: bytes) -> bytes:
    """What the firmware sends until its input ends; the run fails at the first mistake that a sanitizer finds."""
    done = subprocess.run([program], input=sent, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:2000]
    return done.stdout


NUMBERS = [
    "0",
    "1",
    "2",
    "28",
    "7",
    "00000000028",
    "000000000028",
    "999999999",
    "1000000000",
    "4294967295",
    "4294967324",
]
NUMBERS += ["4294967296", "18446744073709551644", "-1", "+5", "1_0", "1e1", "0x18", "", " ", "28.", "\xb2", "9" * 5000]
WORDS = ["identity", "check", "layers", "cycles", "output", "stack"]
WORDS += ["name", "profile", "timestamp", "results", "infer", "db", "load", "db load", "db load"]
WORDS += ["help", "db print", "db p"]


def number(rng: random.Random, run: bool) -> str:
    """One that may be used to count inferences is small, or refused."""
    text = rng.choice(NUMBERS) if rng.random() < 0.5 else str(rng.randrange(40))
    return "3" if run and text == "999999999" else text


def command(rng: random.Random) -> bytes:
    """Mostly a right one, of any kind, in any order; or one with a mistake; or anything."""
    kind = rng.random()
    if kind < 0.25:
        data = (
            rng.randbytes(INPUT_BYTES) if rng.random() < 0.7 else struct.pack("<7f", *([float("nan"), -1e38] * 3), 1.5)
        )
        return b"db load %d%%db %s%%" % (INPUT_BYTES, data.hex().encode())
    if kind < 0.4:
        return b"db %s" % rng.randbytes(rng.randrange(14)).hex()[: rng.randrange(30)].encode()
    if kind < 0.85:
        word = rng.choice(WORDS)
        numbers = [number(rng, word == "infer") for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3]))]
        return " ".join([word, *numbers]).encode("latin-1")
    if kind < 0.95:
        text = bytearray(rng.choice(WORDS).encode() + b" 28 3")
        text[rng.randrange(len(text))] = rng.randrange(256)
        return b"layers" if text.startswith(b"infer") else bytes(text)
    return rng.randbytes(rng.randrange(40)).replace(b"infer", b"")


@pytest.mark.parametrize("first", range(0, LINES, BATCH), ids=lambda first: f"{first} of {LINES}")
def test_any_commands_get_the_expected_replies(first: int, build: Build) -> None:
    rng = random.Random(first)
    sent = b"%".join(command(rng) for _ in range(BATCH)) + b"%"
    for output_bytes, dtype, defined in VARIANTS:
        got = answers(build(output_bytes, dtype, defined), sent)
        benchmark, values = "KB_BENCHMARK" in defined, "KB_VALUES" in defined
        wanted = Expected(INPUT_BYTES, output_bytes, dtype == "KB_FLOAT32", benchmark, values).replies(sent)
        for mine, theirs in zip(wanted.split(b"\n"), got.split(b"\n"), strict=False):
            assert mine == theirs
        assert len(got) == len(wanted)


@pytest.mark.parametrize("classes", [2, 1000, 4095, 4096, 10_000])
def test_results_of_many_classes_do_not_wrap(classes: int, build: Build) -> None:
    loaded = b"db load %d%%db %s%%infer 1 0%%" % (INPUT_BYTES, b"00" * INPUT_BYTES)
    (results,) = [line for line in answers(build(classes, "KB_INT8"), loaded).split(b"\r\n") if b"m-results" in line]
    share = f"{1 / classes:.3f}"
    assert results.decode() == f"m-results-[{','.join([share] * classes)}]"


def test_a_start_without_commands_is_the_banner(build: Build) -> None:
    assert answers(build(10, "KB_INT8"), b"") == BANNER


def test_the_first_reply_after_the_start_has_a_right_checksum(build: Build) -> None:
    """It follows the banner, with no m-ready of another command between them."""
    assert answers(build(10, "KB_INT8"), b"stack 7%") == Expected(INPUT_BYTES, 10, False).replies(b"stack 7%")
