# SPDX-License-Identifier: Apache-2.0
"""The Arduino port: the project as PlatformIO reads it, the port on a stand-in of an Arduino core, and what goes wrong."""

import configparser
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import zig
from kilobench.compile.simulate import simulate
from kilobench.contracts import CellError, UserError
from kilobench.device import arduino
from kilobench.device.build import _ZIG_COMPILE, _provide_scons, linker_script
from kilobench.device.emulator import EmulatedBoard
from kilobench.device.protocol import Session
from kilobench.paths import hardware_dir
from kilobench.plugins.registry import load_registry
from tests.untrained import untrained

STANDIN = Path(__file__).with_name("standin")
BOARDS: list[Board] = [entry.value for entry in load_registry().entries["boards"].values()]  # type: ignore[misc]


def board(name: str) -> Board:
    found: Board = load_registry().get("boards", name)
    return found


@pytest.fixture
def graph() -> Graph:
    return untrained("resnet8[width=4]", "int8", (3, 8, 8), 3)


@pytest.mark.parametrize("one", [board for board in BOARDS if board.platformio], ids=lambda b: b.name)
def test_projects_are_what_the_board_file_says(one: Board) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(arduino.project(one))
    (section,) = parser.sections()
    assert section == f"env:{one.name}"
    options = dict(parser[section])
    assert {key.lower(): value for key, value in one.platformio.items()}.items() <= options.items()
    assert options["build_src_flags"].split()[:2] == ["-O2", "-ffp-contract=off"]
    assert options["build_src_flags"].endswith("-include kb_arduino.h")
    assert options["build_unflags"] == "-Os"


def compiled(folder: Path, one: Board, *defines: str) -> Path:
    """The sources of an Arduino build with the stand-in, compiled and linked for an emulated board."""
    target = [*shlex.split(f"{one.core.flags['zig']} {_ZIG_COMPILE}"), "-O2", "-ffreestanding", "-ffp-contract=off"]
    flags = [*target, "-ffunction-sections", "-fdata-sections", "-Wall", "-Wextra", "-Werror"]
    flags += [
        "-include",
        "kb_arduino.h",
        f"-DCLOCK_HZ={one.clock_hz}u",
        *defines,
        f"-I{folder / 'src'}",
        f"-I{STANDIN}",
    ]
    for name in ("core.cpp", "Arduino.h"):
        shutil.copyfile(STANDIN / name, folder / "src" / name)
    shutil.copyfile(hardware_dir() / "firmware" / "libc.c", folder / "src" / "libc.c")
    (folder / "link.ld").write_text(linker_script(one))
    elf, sources = folder / "firmware.elf", sorted(map(str, (folder / "src").glob("*.c*")))
    link = ["-T", str(folder / "link.ld"), "-Wl,--gc-sections", "-Wl,--build-id=none"]
    zig("cc", *flags, "-fno-exceptions", "-fno-rtti", *sources, *link, output=elf, what="the program")
    return elf


def read_back(session: Session) -> str:
    """Clock and conditions, as the firmware says them."""
    values = {"clock_hz": session.identity.clock_hz, **session.identity.conditions}
    return ",".join(f"{key}={value}" for key, value in values.items())


def run(elf: Path, one: Board, graph: Graph, conditions: str) -> None:
    """One inference on the emulated core, whose own count of cycles is the truth."""
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 3), dtype=np.int8)
    with EmulatedBoard(elf, one) as emulated:
        session = Session(emulated, one.name)
        assert read_back(session) == conditions
        session.load(x.tobytes())
        before = emulated.cycles
        session.infer()
        spent = emulated.cycles - before
        assert 100_000 < session.cycles() < spent < session.cycles() + 60_000
        assert session.output() == simulate(graph, x)[graph.output].tobytes()
        assert 200 < session.stack() < 2048


def test_systick_is_read_beside_the_arduino_core_that_owns_it(graph: Graph, tmp_path: Path) -> None:
    """At 1 kHz it wraps a dozen times in an inference."""
    memory = emit(graph, tmp_path, "m")
    arduino._write_project(tmp_path, one := board("nucleo_g071rb"), tmp_path / "project")
    elf = compiled(tmp_path / "project", one)
    run(elf, one, graph, "clock_hz=64000000,counter=systick,core=0x0,interrupts=on")
    sizes = arduino.sizes(elf)
    assert sizes.arena == memory.arena_bytes
    assert min(sizes.weights, sizes.runtime, sizes.board_support) > 1000
    assert 0 < sizes.static < 1024


def test_a_counter_that_stands_still_is_replaced_and_labelled(graph: Graph, tmp_path: Path) -> None:
    """SysTick at another rate than millis() cannot be extended by it."""
    emit(graph, tmp_path, "m")
    arduino._write_project(tmp_path, one := board("nucleo_g071rb"), tmp_path / "project")
    elf = compiled(tmp_path / "project", one, "-DTICK_HZ=100")
    with EmulatedBoard(elf, one) as emulated:
        assert Session(emulated, one.name).identity.conditions["counter"] == "micros"


@pytest.mark.parametrize("defines", [["-DARDUINO_ARCH_ESP32"], ["-DF_CPU=100000000u"]])
def test_the_port_compiles_for_risc_v(defines: list[str], graph: Graph, tmp_path: Path) -> None:
    emit(graph, tmp_path, "m")
    arduino._write_project(tmp_path, board("esp32_c3_devkitm_1"), tmp_path / "project")
    sources = tmp_path / "project" / "src"
    flags = ["-target", "riscv32-freestanding", "-mcpu=generic_rv32+m+c+zicsr", "-O2", "-Wall", "-Wextra", "-Werror"]
    for source in [*sources.glob("*.cpp"), sources / "model.c", sources / "main.c", sources / "conv2d_s8.c"]:
        what = [*flags, *defines, "-include", "kb_arduino.h", f"-I{sources}", f"-I{STANDIN}", "-c", str(source)]
        zig("c++" if source.suffix == ".cpp" else "cc", *what, output=tmp_path / "a.o", what=source.name)


def install(core: Path, builder: str, framework: str = "") -> None:
    """A platform called ststm32, in the version that board files pin, that builds with the stand-in."""
    platform = core / "platforms" / "ststm32"
    (platform / "boards").mkdir(parents=True)
    (platform / "builder").mkdir()
    name, version = board("nucleo_l476rg").platformio["platform"].split("@")
    described: dict[str, object] = {"name": name, "version": version, "title": name, "frameworks": {}}
    described["frameworks"] = {"arduino": {"title": "Arduino", "script": "builder/arduino.py"}}
    (platform / "platform.json").write_text(json.dumps(described))
    spec = {"owner": "platformio", "id": None, "name": name, "requirements": None, "uri": None}
    (platform / ".piopm").write_text(json.dumps({"type": "platform", "name": name, "version": version, "spec": spec}))
    (platform / "platform.py").write_text(
        "from platformio.platform.base import PlatformBase\nclass Ststm32Platform(PlatformBase):\n    pass\n"
    )
    (platform / "boards" / "nucleo_l476rg.json").write_text(
        json.dumps(
            {
                "name": "Stand-in",
                "vendor": "kilobench",
                "url": "http://localhost",
                "frameworks": ["arduino"],
                "build": {"mcu": "stm32l476rgt6", "f_cpu": "80000000L"},
                "upload": {"maximum_size": 1048576, "maximum_ram_size": 98304},
            }
        )
    )
    (platform / "builder" / "main.py").write_text(builder)
    (platform / "builder" / "arduino.py").write_text(framework)
    _provide_scons(core)


BUILDER = """
import os, shlex, sys
from SCons.Script import DefaultEnvironment
env = DefaultEnvironment()
os.environ.update(ZIG_GLOBAL_CACHE_DIR=%(zig)r, ZIG_LOCAL_CACHE_DIR=%(zig)r)
zig = f"{sys.executable} -m ziglang "
target = shlex.split(%(target)r)
env.Replace(CC=zig + "cc", CXX=zig + "cc", LINK=zig + "cc", AR=zig + "ar", RANLIB=zig + "ranlib",
            PROGNAME="firmware", PROGSUFFIX=".elf")
env.Append(CPPPATH=[%(core)r], CPPDEFINES=["ARDUINO_ARCH_STM32", ("CLOCK_HZ", "80000000u")], CCFLAGS=["-Os", *target],
           CXXFLAGS=["-fno-exceptions", "-fno-rtti"], LINKFLAGS=[*target, "-T", "link.ld", "-Wl,--gc-sections"])
env.Default(env.BuildProgram())
upload = env.Alias("upload", [], env.VerboseAction("echo error: no probe at $UPLOAD_PORT && exit 1", "Uploading"))
env.AlwaysBuild(upload)
"""
CONDITIONS = (
    "clock_hz=80000000,counter=dwt,core=0x0,flash_acr=0x704,flash_wait_states=4,prefetch=on,flash_instruction_cache=on,"
    "flash_data_cache=on,interrupts=on"
)
FRAMEWORK = """
from SCons.Script import DefaultEnvironment
env = DefaultEnvironment()
env.BuildSources("$BUILD_DIR/core", %(core)r)
"""


def test_platformio_builds_a_project_that_runs(
    graph: Graph, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PlatformIO itself, its project and its options; only the platform behind them is a stand-in."""
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    one = board("nucleo_l476rg")
    emit(graph, tmp_path, "m")
    with pytest.raises(UserError) as missing:
        arduino.build(tmp_path, one, tmp_path / "project")
    assert str(missing.value) == (
        "nucleo_l476rg needs PlatformIO's platform ststm32@19.6.0; install it with: pio pkg install -g -p ststm32@19.6.0"
    )
    shutil.copytree(STANDIN, tmp_path / "standin")
    shutil.copy(hardware_dir() / "firmware" / "libc.c", tmp_path / "standin")
    names = {
        "target": f"{one.core.flags['zig']} {_ZIG_COMPILE}",
        "core": str(tmp_path / "standin"),
        "zig": str(cache / "zig"),
    }
    install(tmp_path / "core", BUILDER % names, FRAMEWORK % names)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "link.ld").write_text(linker_script(one))
    firmware = arduino.build(tmp_path, one, tmp_path / "project")
    run(firmware.elf, one, graph, CONDITIONS)
    assert firmware.toolchain == "platformio ststm32@19.6.0"
    with pytest.raises(CellError, match=r"nucleo_l476rg at /dev/ttyX: the upload failed: error: no probe at /dev/ttyX"):
        arduino.upload(tmp_path / "project", one, "/dev/ttyX")
    (tmp_path / "model.c").write_text("int broken = ;")
    with pytest.raises(
        CellError, match=r"the firmware does not build: .*model\.c:1:14: error: expected expression"
    ) as bad:
        arduino.build(tmp_path, one, tmp_path / "project")
    assert "\n" not in str(bad.value)


def test_a_package_that_cannot_be_had_is_said_in_one_line(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    emit(graph, tmp_path, "m")
    install(tmp_path / "core", "raise RuntimeError('UnknownPackageError: Could not find the package')")
    with pytest.raises(UserError, match=r"is missing .*: pio pkg install -d .*/project$"):
        arduino.build(tmp_path, board("nucleo_l476rg"), tmp_path / "project")


def test_a_board_without_platformio_is_only_emulated(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it can only be emulated"):
        arduino.build(tmp_path, replace(board("nucleo_l476rg"), platformio={}), tmp_path)
