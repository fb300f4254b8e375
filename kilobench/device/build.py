# SPDX-License-Identifier: Apache-2.0
"""Firmware built by PlatformIO against the local platform, without its registry."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from kilobench.boards import Board, Core, Memory
from kilobench.contracts import UserError
from kilobench.device.elf import Sizes, used
from kilobench.paths import cache_dir, hardware_dir
from kilobench.plugins.boards import PERIPHERALS, require_emulated
from kilobench.scratch import is_plain
from kilobench.toolchain import (
    Toolchain,
    clean_environment,
    failure,
    link,
    plain_folder,
    python,
    toolchain_name,
    zig_environment,
)

STACK_BYTES = 2048
"""Reserved for the stack; measured peaks lie below it."""

_COMMON = "-O2 -std=c99 -ffreestanding -ffp-contract=off -ffunction-sections -fdata-sections -Wall -Wextra -Werror"
_ZIG_COMPILE = "-fomit-frame-pointer -fno-unwind-tables -fno-asynchronous-unwind-tables -fno-sanitize=undefined"
_LINK = "-T link.ld -Wl,--gc-sections -Wl,--build-id=none"
_CORE_DIR, _PLATFORM, _OBJECTS = "platformio", "kilobench-emulated", "objects"
_KINDS = {"platforms": "platform", "packages": "tool"}
"""Of PlatformIO's packages, by the folder that they are in."""


@dataclass(frozen=True)
class Firmware:
    """A linked program."""

    elf: Path
    linked: Board
    """The board as it was linked for: itself, or with more memory where the program does not fit it."""
    runs: bool
    """False where even ``enlarged`` has not enough memory: the program is there to be counted only."""
    toolchain: str
    flags: str


def build(model: Path, board: Board, workdir: Path, toolchain: Toolchain = "zig") -> Firmware:
    """Build the model in folder ``model`` (kilobench.compile.emit) for a board with ``pio run`` in ``workdir``.

    Raises what ``failure`` says of a build that fails, and UserError if the toolchain is not there.
    """
    require_emulated(board)
    name, options = toolchain_name(toolchain), _options(board.core, toolchain)
    _write_project(model, board, workdir, name, options)
    flags = f"{options['custom_compile_flags']} {options['custom_link_flags']}"
    boundless = _boundless(board)
    for linked in (board, enlarged(board), boundless):
        (workdir / "link.ld").write_text(linker_script(linked))
        error = _run(workdir)
        if "overflowed by" not in error:
            break
    if error:
        raise failure(f"{board.name}: the firmware does not build", error, 1)
    elf = workdir / ".pio" / "build" / "emulated" / "firmware.elf"
    runs = linked is not boundless
    return Firmware(elf, _holding(board, *used(elf, linked)) if runs else linked, runs, name, flags)


def enlarged(board: Board) -> Board:
    """The board with all the memory that its core can address: every region goes on to whatever lies behind it."""
    taken = [region.origin for region in (board.flash, *board.ram, *PERIPHERALS.values())]

    def grown(region: Memory) -> Memory:
        end = min((origin for origin in taken if origin > region.origin), default=1 << 32)
        return Memory(region.origin, end - region.origin)

    return replace(board, flash=grown(board.flash), ram=tuple(map(grown, board.ram)))


def _holding(board: Board, flash: int, ram: list[int]) -> Board:
    """The board with just so much more memory as holds a program: the emulator takes as much of this machine's."""
    sizes = zip(board.ram, ram, strict=True)
    return replace(
        board,
        flash=Memory(board.flash.origin, max(board.flash.bytes, flash)),
        ram=tuple(Memory(region.origin, max(region.bytes, size)) for region, size in sizes),
    )


def _boundless(board: Board) -> Board:
    """Where any program of 32-bit addresses can be linked, to see how large it is."""
    ram = (Memory(0x80000000, 1 << 30), Memory(0xC0000000, 1 << 29))
    return replace(board, flash=Memory(0, 1 << 31), ram=ram[: len(board.ram)])


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
    .data : {{
        . = ALIGN(4); kb_data_start = .; *(.data .data.* .sdata .sdata.*) . = ALIGN(4); kb_data_end = .;
    }} > {statics} AT > FLASH
    kb_data_image = LOADADDR(.data);
    .bss (NOLOAD) : {{
        . = ALIGN(4); kb_bss_start = .; *(.bss .bss.* .sbss .sbss.* COMMON) . = ALIGN(4); kb_bss_end = .;
    }} > {statics}
    .arena (NOLOAD) : {{ *(.arena) }} > RAM
    /DISCARD/ : {{ *(.ARM.exidx* .ARM.extab* .eh_frame* .debug*) }}
}}
"""


def shortfall(sizes: Sizes, board: Board) -> tuple[int, int]:
    """By how many bytes a program exceeds a board's flash and RAM as ``linker_script`` places it there, but for alignment."""
    statics = sizes.stack_reserved + sizes.static
    first, last = board.ram[0], board.ram[1] if len(board.ram) > 1 else None
    if last is None:
        over = max(0, sizes.arena + statics - first.bytes)
    else:
        over = max(0, sizes.arena - first.bytes) + max(0, statics - last.bytes)
    return max(0, sizes.flash_bytes - board.flash.bytes), over


def _options(core: Core, toolchain: Toolchain) -> dict[str, str]:
    """Of the project; all paths in it are relative and plain, because PlatformIO and SCons take many characters for syntax."""
    flags = core.flags.get(toolchain)
    if flags is None:
        raise UserError(f"core {core.name} has no flags for --toolchain {toolchain}")
    if toolchain == "zig":
        prefix, compiler, target, extra, libraries = "zig ", "cc", flags, _ZIG_COMPILE, ""
    else:
        prefix, compiler, target, extra, libraries = "arm-none-eabi-", "gcc", f"{flags} -nostdlib", "", "gcc"
    return {
        "custom_compiler": prefix + compiler,
        "custom_archiver": f"{prefix}ar",
        "custom_ranlib": f"{prefix}ranlib",
        "custom_compile_flags": f"{target} {_COMMON} {extra}".strip(),
        "custom_link_flags": f"{target} {_LINK}",
        "custom_libraries": libraries,
    }


def _write_project(model: Path, board: Board, workdir: Path, toolchain: str, options: dict[str, str]) -> None:
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
    objects = cache_dir() / "objects" / toolchain.replace(" ", "-")
    objects.mkdir(parents=True, exist_ok=True)
    linked = link(workdir / _OBJECTS, objects)
    options = options | {"custom_objects": str(objects) if linked == objects else _OBJECTS}
    _provide(workdir / _CORE_DIR, "platforms", _PLATFORM, "0.1.0", hardware / "platformio")
    lines = [f"{key} = {value}" for key, value in options.items()]
    (workdir / "platformio.ini").write_text(
        "\n".join(["[env:emulated]", f"platform = {_PLATFORM}", "board = emulated", *lines, ""])
    )


def _run(workdir: Path) -> str:
    """``pio run``; its output if it failed, else nothing.

    PlatformIO and SCons take some characters of a path for syntax; where it is not plain they work on a copy.
    """
    with plain_folder() as folder:
        if is_plain(workdir.resolve()):
            return _run_in(workdir, zig_environment(folder))
        copy = folder / "project"
        shutil.copytree(workdir, copy, symlinks=True)
        error = _run_in(copy, zig_environment(folder))
        shutil.copy(copy / "build.log", workdir)
        shutil.copytree(copy / ".pio", workdir / ".pio", dirs_exist_ok=True)
    return error


def _run_in(workdir: Path, settings: dict[str, str]) -> str:
    """Its own folder is the project's, so that builds can go on side by side; so is home, where SCons looks for files."""
    _provide_scons(workdir / _CORE_DIR)
    compilers = os.pathsep.join([str(files("ziglang")), os.environ.get("PATH", os.defpath)])
    environment = clean_environment(
        PATH=compilers,
        PLATFORMIO_CORE_DIR=str(workdir / _CORE_DIR),
        PLATFORMIO_SETTING_ENABLE_TELEMETRY="no",
        PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL="36500",
        PLATFORMIO_NO_ANSI="true",
        HOME=str(workdir),
        PYTHONUSERBASE=site.getuserbase(),
        **settings,
    )
    command = python("platformio", "run", "--jobs", str(os.cpu_count() or 1))
    done = subprocess.run(command, cwd=workdir, env=environment, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    (workdir / "build.log").write_text(log)
    return log or "pio run failed without a word" if done.returncode else ""


def _provide_scons(core: Path) -> None:
    """PlatformIO's package "tool-scons" in the version that it asks for, made of the SCons wheel."""
    from platformio.dependencies import get_core_dependencies

    wanted = get_core_dependencies()["tool-scons"].lstrip("~^=")
    if (package := _provide(core, "packages", "tool-scons", wanted)) is not None:
        (package / "scons.py").write_text("from SCons.Script import main\n\nmain()\n")
        (package / "package.json").write_text(json.dumps({"name": "tool-scons", "version": wanted}))


def _provide(core: Path, kind: str, name: str, version: str, content: Path | None = None) -> Path | None:
    """The folder of a package that is to be in PlatformIO's own folder, with its ``content``; None if it is there already."""
    package = core / kind / name
    if (package / ".piopm").is_file():
        return None
    if content is None:
        package.mkdir(parents=True, exist_ok=True)
    else:
        shutil.copytree(content, package, ignore=shutil.ignore_patterns("__pycache__"))
    spec = {"owner": "platformio", "id": None, "name": name, "requirements": None, "uri": None}
    described = {"type": _KINDS[kind], "name": name, "version": version, "spec": spec}
    (package / ".piopm").write_text(json.dumps(described))
    return package
