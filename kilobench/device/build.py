"""Firmware built by PlatformIO against the local platform, without its registry."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from kilobench.api import Board, CellError, Memory, UserError
from kilobench.paths import cache_dir, hardware_dir
from kilobench.plugins.boards import require_emulated

Toolchain = Literal["zig", "gcc"]
STACK_BYTES = 2048
"""Reserved for the stack; measured peaks lie below it."""
ENLARGED_BYTES = 16 << 20
"""Flash and RAM of a board enlarged to hold what does not fit it."""

_COMMON = "-O2 -std=c99 -ffreestanding -ffp-contract=off -ffunction-sections -fdata-sections -Wall -Wextra -Werror"
_ZIG = {
    "cortex-m0": "-target thumb-freestanding-eabi -mcpu=cortex_m0",
    "cortex-m0plus": "-target thumb-freestanding-eabi -mcpu=cortex_m0plus",
    "cortex-m3": "-target thumb-freestanding-eabi -mcpu=cortex_m3",
    "cortex-m33": "-target thumb-freestanding-eabihf -mcpu=cortex_m33+dsp+fp_armv8d16sp",
    "cortex-m4f": "-target thumb-freestanding-eabihf -mcpu=cortex_m4+vfp4d16sp",
    "cortex-m7": "-target thumb-freestanding-eabihf -mcpu=cortex_m7+fp_armv8d16sp",
}
_ZIG_COMPILE = "-fomit-frame-pointer -fno-unwind-tables -fno-asynchronous-unwind-tables -fno-sanitize=undefined"
_GCC = {
    "cortex-m0": "-mthumb -mcpu=cortex-m0 -masm-syntax-unified",
    "cortex-m0plus": "-mthumb -mcpu=cortex-m0plus -masm-syntax-unified",
    "cortex-m3": "-mthumb -mcpu=cortex-m3",
    "cortex-m33": "-mthumb -mcpu=cortex-m33 -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
    "cortex-m4f": "-mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard",
    "cortex-m7": "-mthumb -mcpu=cortex-m7 -mfpu=fpv5-sp-d16 -mfloat-abi=hard",
}
_LINK = "-T link.ld -Wl,--gc-sections -Wl,--build-id=none"


@dataclass(frozen=True)
class Firmware:
    """A linked program. ``fits`` is False if it was linked for an enlarged board."""

    elf: Path
    fits: bool
    toolchain: str
    flags: str


def build(model: Path, board: Board, workdir: Path, toolchain: Toolchain = "zig") -> Firmware:
    """Build the model in folder ``model`` (kilobench.compile.emit) for a board with ``pio run`` in ``workdir``.

    Raises CellError with the first error line of a failing build, and UserError if the toolchain is not there.
    """
    require_emulated(board)
    name, project = _toolchain(board, toolchain)
    _write_project(model, board, workdir, project)
    flags = f"{project['custom_compile_flags']} {project['custom_link_flags']}"
    elf = workdir / ".pio" / "build" / "emulated" / "firmware.elf"
    fits = True
    if "overflowed by" in (error := _run(workdir)):
        fits = False
        (workdir / "link.ld").write_text(linker_script(enlarged(board)))
        error = _run(workdir)
    if error:
        first = next((line for line in error.splitlines() if "error" in line), "no error line")
        raise CellError(f"{board.name}: the firmware does not build: {first}")
    return Firmware(elf, fits, name, flags)


def enlarged(board: Board) -> Board:
    """The board with so much flash and RAM that anything fits; regions stay where they are and do not meet."""
    origins = [board.flash.origin, *(region.origin for region in board.ram)]

    def grown(region: Memory) -> Memory:
        room = min((origin - region.origin for origin in origins if origin > region.origin), default=ENLARGED_BYTES)
        return Memory(region.origin, min(room, ENLARGED_BYTES))

    return replace(board, flash=grown(board.flash), ram=tuple(map(grown, board.ram)))


def linker_script(board: Board) -> str:
    """Stack at the bottom of the last RAM region, so that an overflow faults; the arena in the first."""
    regions = {"FLASH": board.flash, "RAM": board.ram[0]}
    if len(board.ram) > 1:
        regions["RAM2"] = board.ram[1]
    memory = "".join(f"    {name} : ORIGIN = {r.origin:#x}, LENGTH = {r.bytes:#x}\n" for name, r in regions.items())
    statics = list(regions)[-1]
    return f"""ENTRY(reset)
MEMORY {{
{memory}}}
SECTIONS {{
    .vectors : {{ KEEP(*(.vectors)) }} > FLASH
    .port : {{ */port.*(.text .text.* .rodata .rodata.*) }} > FLASH
    .weights : {{ *(.weights .weights.*) }} > FLASH
    .text : {{ *(.text .text.* .rodata .rodata.*) }} > FLASH
    .stack (NOLOAD) : {{
        kb_stack_bottom = .; . += {STACK_BYTES}; . = ALIGN(8); kb_stack_top = .;
    }} > {statics}
    .data : {{ . = ALIGN(4); kb_data_start = .; *(.data .data.*) . = ALIGN(4); kb_data_end = .; }} > {statics} AT > FLASH
    kb_data_image = LOADADDR(.data);
    .bss (NOLOAD) : {{
        . = ALIGN(4); kb_bss_start = .; *(.bss .bss.* COMMON) . = ALIGN(4); kb_bss_end = .;
    }} > {statics}
    .arena (NOLOAD) : {{ *(.arena) }} > RAM
    /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab* .eh_frame* .debug*) }}
}}
"""


def _toolchain(board: Board, toolchain: Toolchain) -> tuple[str, dict[str, str]]:
    """Name with version, and the project's options."""
    if toolchain == "zig":
        python = shlex.quote(sys.executable)
        prefix, target = f"{python} -m ziglang ", _ZIG[board.core]
        name, tools, extra, libraries = f"zig {version('ziglang')}", ("cc", "ar", "ranlib"), _ZIG_COMPILE, ""
    else:
        if shutil.which("arm-none-eabi-gcc") is None:
            raise UserError("no arm-none-eabi-gcc on the PATH; install gcc-arm-none-eabi, or use --toolchain zig")
        prefix, target = "arm-none-eabi-", f"{_GCC[board.core]} -nostdlib"
        dumped = subprocess.run(["arm-none-eabi-gcc", "-dumpfullversion"], capture_output=True, text=True, check=True)
        name, tools, extra, libraries = f"gcc {dumped.stdout.strip()}", ("gcc", "ar", "ranlib"), "", "gcc"
    options = {
        "custom_compiler": prefix + tools[0],
        "custom_archiver": prefix + tools[1],
        "custom_ranlib": prefix + tools[2],
        "custom_compile_flags": f"{target} {_COMMON} {extra}".strip(),
        "custom_link_flags": f"{target} {_LINK}",
        "custom_libraries": libraries,
        "custom_objects": str(cache_dir() / "objects" / name.replace(" ", "-")),
    }
    return name, options


def _write_project(model: Path, board: Board, workdir: Path, options: dict[str, str]) -> None:
    """Sources side by side under relative names, so that the program does not depend on where it is built."""
    sources = workdir / "src"
    shutil.rmtree(workdir, ignore_errors=True)
    sources.mkdir(parents=True)
    hardware = hardware_dir()
    folders = [hardware / "kernels", hardware / "firmware", hardware / "firmware" / "ports" / "emulated", model]
    for file in (file for folder in folders for file in sorted(folder.glob("*.[ch]"))):
        shutil.copyfile(file, sources / file.name)
    config = f'#define KB_BOARD_NAME "{board.name}"\n#define KB_CLOCK_HZ {board.clock_hz}u\n'
    (sources / "board_config.h").write_text(config)
    (workdir / "link.ld").write_text(linker_script(board))
    lines = [f"{key} = {value}" for key, value in options.items()]
    platform = (hardware / "platformio").as_uri().replace("file://", "symlink://")
    (workdir / "platformio.ini").write_text(
        "\n".join(["[env:emulated]", f"platform = {platform}", "board = emulated", *lines, ""])
    )


def _run(workdir: Path) -> str:
    """``pio run``; its output if it failed, else nothing. PlatformIO's own folder is the project's, so that builds can go on
    side by side."""
    core = workdir / "platformio"
    _provide_scons(core)
    environment = os.environ | {
        "PLATFORMIO_CORE_DIR": str(core),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "36500",
        "PLATFORMIO_NO_ANSI": "true",
        "ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(cache_dir() / "zig"),
    }
    command = [sys.executable, "-m", "platformio", "run", "--jobs", str(os.cpu_count() or 1)]
    done = subprocess.run(command, cwd=workdir, env=environment, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    (workdir / "build.log").write_text(log)
    return log if done.returncode else ""


def _provide_scons(core: Path) -> None:
    """PlatformIO's package "tool-scons" in the version that it asks for, made of the SCons wheel."""
    from platformio.dependencies import get_core_dependencies

    wanted = get_core_dependencies()["tool-scons"].lstrip("~^=")
    package = core / "packages" / "tool-scons"
    if (package / ".piopm").is_file():
        return
    package.mkdir(parents=True, exist_ok=True)
    described = {"type": "tool", "name": "tool-scons", "version": wanted}
    spec = {"owner": "platformio", "id": None, "name": "tool-scons", "requirements": None, "uri": None}
    (package / "scons.py").write_text("from SCons.Script import main\n\nmain()\n")
    (package / "package.json").write_text(json.dumps({"name": "tool-scons", "version": wanted}))
    (package / ".piopm").write_text(json.dumps({**described, "spec": spec}))
