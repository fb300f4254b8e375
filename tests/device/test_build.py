# SPDX-License-Identifier: Apache-2.0
"""Builds: what is around them changes nothing, and what does not fit is what the linker says."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from platformio.project.options import ProjectOptions

from kilobench.boards import Board, Memory
from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel
from kilobench.contracts import UserError
from kilobench.device import elf, emulator
from kilobench.device.build import build
from kilobench.device.emulator import EmulatedBoard
from kilobench.measuring import onboard
from kilobench.measuring.emulator import measure
from kilobench.measuring.onboard import measure_over
from kilobench.plugins.registry import load_registry
from kilobench.results.check import ALIGNMENT
from kilobench.scratch import process_folder
from kilobench.toolchain import GCC, Toolchain, clean_environment, toolchain_name
from tests.compile.graphs import Builder
from tests.device.test_boards import model
from tests.untrained import emitted

ROOT = Path(__file__).parents[2]
ODD = 'my project $HOME ${x} [a]*? ü 50%d ;#! "it\'s" \\'
BOARD: Board = load_registry().get("boards", "nucleo_l476rg")
TOOLCHAINS: list[Toolchain] = ["zig", *(["gcc"] if shutil.which(GCC) else [])]  # type: ignore[list-item]
COMPILERS = (
    "CC",
    "CFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "ASFLAGS",
    "SCONSFLAGS",
    "GCC_EXEC_PREFIX",
    "COMPILER_PATH",
    "LIBRARY_PATH",
)
SEARCHED = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "ZIG_LIB_DIR", "ZIG_LIBC")


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """Every variable of PlatformIO's, of SCons's and of compilers, set to what would break or change a build; their names."""
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "stdint.h").write_text("#error the user's header\n")
    (trap / "sitecustomize.py").write_text("raise SystemExit('the user\\'s Python')\n")
    harm = {option.sysenvvar: "-O0 -DKB_CLOCK_HZ=1" for option in ProjectOptions.values() if option.sysenvvar}
    harm |= {name: str(trap) for name in SEARCHED} | dict.fromkeys(COMPILERS, "-O0 -broken")
    (trap / ".scons" / "site_scons").mkdir(parents=True)
    (trap / ".scons" / "site_scons" / "site_init.py").write_text("raise SystemExit('the user\\'s SCons')\n")
    harm |= {
        "HOME": str(trap),
        "PLATFORMIO_SETTING_FORCE_VERBOSE": "yes",
        "PLATFORMIO_SYSTEM_TYPE": "none",
        "ZIG_VERBOSE_CC": "1",
    }
    assert len(harm) > 40
    for name, value in harm.items():
        monkeypatch.setenv(name, value)
    return set(harm)


def test_nothing_of_the_users_is_handed_on(hostile: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("TMPDIR", "/somewhere")
    left = clean_environment(MINE="1")
    assert left.keys() <= {"PATH", "HOME", "TMPDIR", "LC_ALL", "PYTHONUTF8", "MINE"}
    assert (left["TMPDIR"], left["LC_ALL"], left["MINE"]) == (str(process_folder()), "C.UTF-8", "1")
    assert hostile & left.keys() == {"HOME"}


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_no_variable_reaches_a_build(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    emit(model(), tmp_path, "m")
    clean = build(tmp_path, BOARD, tmp_path / "a", toolchain)
    request.getfixturevalue("hostile")
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path / "cache"))  # no object of the first build helps the second
    again = build(tmp_path, BOARD, tmp_path / "b", toolchain)
    assert again.elf.read_bytes() == clean.elf.read_bytes()
    assert (again.flags, again.toolchain) == (clean.flags, clean.toolchain)


def test_no_variable_reaches_the_host(hostile: set[str], tmp_path: Path) -> None:
    emit(model(), tmp_path, "m")
    assert HostModel(tmp_path).run(np.zeros((1, 1, 24, 3), np.int8)).shape == (1, 8)


BUILD = """
import hashlib, sys
from pathlib import Path
import kilobench
from kilobench.compile.emit import emit
from kilobench.device.build import build
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder
from tests.device.test_boards import model
folder = Path(sys.argv[1])
emit(model(), folder, "m")
made = build(folder, load_registry().get("boards", "nucleo_l476rg"), folder / "build", "zig")
print(Path(kilobench.__file__).parent.parent, hashlib.sha256(made.elf.read_bytes()).hexdigest(), sep="\\n")
"""


def test_a_checkout_a_cache_and_a_folder_of_any_name_build_the_same(tmp_path: Path) -> None:
    """PlatformIO interpolates % and ${}, SCons $ and #, a glob [ and *, a shell the rest."""
    odd = tmp_path / ODD
    for name in ("kilobench", "hardware", "methods", "networks", "tasks", "benchmarks", "tests"):
        shutil.copytree(ROOT / name, odd / name, ignore=shutil.ignore_patterns("__pycache__", "golden", "e2e"))
    shutil.copy(ROOT / "pyproject.toml", odd)
    (odd / "tmp").mkdir()
    emit(model(), tmp_path, "m")
    plain = build(tmp_path, BOARD, tmp_path / "build")
    places = {"PYTHONPATH": str(odd), "KILOBENCH_CACHE": str(odd / "cache"), "TMPDIR": str(odd / "tmp")}
    command = [sys.executable, "-c", BUILD, str(odd / "tmp")]
    done = subprocess.run(command, env=os.environ | places, cwd=odd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    where, digest = done.stdout.splitlines()
    assert where == str(odd)
    assert (
        digest == subprocess.run(["sha256sum", plain.elf], capture_output=True, text=True, check=True).stdout.split()[0]
    )


def test_a_compiler_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UserError, match=r"^no arm-none-eabi-gcc on the PATH; install gcc-arm-none-eabi, or use --toolchain zig$"
    ):
        toolchain_name("gcc")
    (tmp_path / GCC).write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / GCC).chmod(0o755)
    with pytest.raises(UserError, match=r"arm-none-eabi-gcc does not run .*exit status 3"):
        toolchain_name("gcc")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / GCC).write_text('#!/bin/sh\n[ "$1" = -dumpfullversion ] && echo 99.1.2\n')
    (tmp_path / "other" / GCC).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    assert toolchain_name("gcc") == "gcc 99.1.2"
    assert toolchain_name("zig").startswith("zig 0.")


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_what_does_not_fit_is_what_the_linker_says(toolchain: Toolchain, tmp_path: Path) -> None:
    """To the byte, the alignment of sections included, which is in no sum of their sizes."""
    emit(model(), tmp_path, "m")
    whole: Board = load_registry().get("boards", "nrf52840_dk")
    made = build(tmp_path, whole, tmp_path / "whole", toolchain)
    flash, (ram,) = elf.used(made.elf, whole)
    sizes = elf.sizes(made.elf)
    assert 0 <= flash - sizes.flash_bytes < ALIGNMENT
    assert 0 <= ram - sizes.arena - sizes.static - sizes.stack_reserved < ALIGNMENT
    for over in ((0, 0), (1, 0), (0, 1), (64, 5)):
        memory = Memory(whole.flash.origin, flash - over[0]), Memory(whole.ram[0].origin, ram - over[1])
        board = replace(whole, flash=memory[0], ram=memory[1:])
        firmware = build(tmp_path, board, tmp_path / "build", toolchain)
        assert (firmware.linked == board) == (over == (0, 0))
        assert elf.overflow(firmware.elf, board, firmware.linked) == over


def test_what_no_address_reaches_is_counted_and_not_run(tmp_path: Path) -> None:
    """RAM begins where the flash ends, so that neither can be enlarged by much."""
    memory = Memory(0x08000000, 0x2000), (Memory(0x08002000, 0x10000),)
    board = replace(BOARD, flash=memory[0], ram=memory[1])
    graph = model()
    expected = emitted(graph, tmp_path / "m", 1)
    measured = measure(tmp_path / "m", graph, expected, board, tmp_path / "build", "zig")
    assert (measured.cycles, measured.layer_cycles, measured.conditions) == ([], [], {})
    assert (measured.clock_hz, measured.stack_bytes) == (board.clock_hz, measured.sizes.stack_reserved)
    held = build(tmp_path / "m", BOARD, tmp_path / "held")
    assert measured.over_flash_bytes == elf.used(held.elf, held.linked)[0] - memory[0].bytes > 0
    assert measured.over_ram_bytes == 0
    assert measured.sizes.weights == elf.sizes(held.elf).weights


def test_a_large_network_runs_on_an_enlarged_board_and_says_how_far_it_is(tmp_path: Path) -> None:
    """More flash than 16 MiB, so that code is further from code than a branch reaches."""
    b = Builder(0)
    source = b.tensor((1, 1, 1100), "float32")
    x = b.conv(source, "float32", 4096, (1, 1), (1, 1), (0, 0))
    graph = b.graph(source, b.conv(x, "float32", 10, (1, 1), (1, 1), (0, 0)))
    expected = emitted(graph, tmp_path / "m", 1)
    told: list[tuple[str, float, float]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emulator, "_WATCH_CYCLES", 1_000_000)
        measured = measure(
            tmp_path / "m", graph, expected, BOARD, tmp_path / "build", "zig", progress=lambda *now: told.append(now)
        )
    assert measured.over_flash_bytes > 16 << 20
    assert measured.over_ram_bytes == 0 and len(measured.cycles) == 1
    assert len(told) > 10 and [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert all(0 < done <= total for _, done, total in told)
    quiet = measure(tmp_path / "m", graph, expected, BOARD, tmp_path / "build", "zig")
    assert (quiet.cycles, quiet.layer_cycles) == (measured.cycles, measured.layer_cycles)


def test_of_a_slow_model_fewer_inputs_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = model()
    expected = emitted(graph, tmp_path / "m", 8)
    firmware = build(tmp_path / "m", BOARD, tmp_path / "build")

    def inputs_run(most: int) -> int:
        monkeypatch.setattr(onboard, "MOST_CYCLES", most)
        with EmulatedBoard(firmware.elf, BOARD) as emulated:
            return len(measure_over(emulated, graph, expected, BOARD).cycles)

    with EmulatedBoard(firmware.elf, BOARD) as emulated:
        once = measure_over(emulated, graph, expected, BOARD).cycles
    assert max(once) < 1.2 * min(once)
    assert [inputs_run(most) for most in (0, round(2.9 * once[0]), 100 * once[0])] == [1, 2, 8]
