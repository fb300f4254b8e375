# SPDX-License-Identifier: Apache-2.0
"""Firmware for real boards: a PlatformIO project on the board's Arduino core, built and uploaded by ``pio run``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from kilobench.boards import Board
from kilobench.contracts import UserError
from kilobench.device.build import Firmware
from kilobench.device.elf import Sizes
from kilobench.files import locked
from kilobench.paths import cache_dir, hardware_dir, home
from kilobench.toolchain import downloading_environment, failure, python

BAUD = 115200
FLAGS = "-O2 -ffp-contract=off -Wall -Wextra"
"""Of our sources, after the Arduino core's own."""

_FOREIGN = ("libc.c",)
"""Firmware sources that an Arduino core brings itself."""
_NO_PACKAGE = ("UnknownPackageError", "Could not find the package", "HTTPClientError", "InternetConnectionError")
_SHF_WRITE, _SHF_ALLOC = 1, 2


def core_dir() -> Path:
    """PlatformIO's own folder, which real boards are built with: their platforms are large and often there already."""
    return Path(os.environ.get("PLATFORMIO_CORE_DIR") or home() / ".platformio")


def installed_platforms() -> set[str]:
    """``name@version`` of the PlatformIO platforms in ``core_dir()``."""
    found = set()
    for path in core_dir().glob("platforms/*/platform.json"):
        try:
            described = json.loads(path.read_text())
            found.add(f"{described['name']}@{described['version']}")
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def install_command(board: Board) -> str:
    """The command that installs the PlatformIO platform of a board."""
    return f"pio pkg install -g -p {board.platformio['platform']}"


def require_platform(board: Board) -> str:
    """The board's PlatformIO platform, ``name@version``; raises UserError, with the mend, if it is not installed."""
    if not board.platformio:
        raise UserError(f"{board.name}: its board file has no platformio options; it can only be emulated")
    platform = board.platformio["platform"]
    if platform not in installed_platforms():
        raise UserError(
            f"{board.name} needs PlatformIO's platform {platform}; install it with: {install_command(board)}"
        )
    return platform


def project(board: Board) -> str:
    """The text of the board's platformio.ini."""
    options = {
        **board.platformio,
        "monitor_speed": str(BAUD),
        "build_unflags": "-Os",
        "build_src_flags": f"{FLAGS} -include kb_arduino.h",
    }
    lines = [f"{key} = {value}" for key, value in options.items()]
    return "\n".join([f"[env:{board.name}]", *lines, ""])


def build(model: Path, board: Board, workdir: Path) -> Firmware:
    """Build the model in folder ``model`` (kilobench.compile.emit) for the real board with ``pio run`` in ``workdir``.

    Raises UserError, with the command that mends it, if the board's PlatformIO platform is not installed; what ``failure`` says
    of a build that fails, also where the program does not fit the board.
    """
    platform = require_platform(board)
    _write_project(model, board, workdir)
    if error := _pio(workdir):
        if any(mark in error for mark in _NO_PACKAGE):
            raise UserError(
                f"{board.name}: a package of PlatformIO's platform {platform} is missing and was not to be downloaded; "
                f"online, this installs all of them: pio pkg install -d {workdir}"
            )
        raise failure(f"{board.name}: the firmware does not build", error, 1)
    elf = workdir / ".pio" / "build" / board.name / "firmware.elf"
    return Firmware(elf, board, True, f"platformio {platform}", FLAGS)


def upload(workdir: Path, board: Board, port: str) -> None:
    """Upload what ``build`` made in ``workdir`` to the board at ``port``; raises what ``failure`` says where it fails."""
    if error := _pio(workdir, "-t", "upload", "--upload-port", port):
        raise failure(f"{board.name} at {port}: the upload failed", error, 1)


def sizes(elf: Path) -> Sizes:
    """Flash and RAM of an Arduino build: weights, runtime and arena by the names of our symbols, the rest by its sections.

    Flash is all that the image holds, also code that is copied to RAM; RAM is what is writable, without the heap's and the
    stack's reserve.
    """
    with elf.open("rb") as file:
        program = ELFFile(file)
        image = static = 0
        for section in program.iter_sections():
            flags, size = section["sh_flags"], section["sh_size"]
            if flags & _SHF_ALLOC and section["sh_type"] != "SHT_NOBITS":
                image += size
            if flags & _SHF_WRITE and not any(word in section.name for word in ("heap", "stack")):
                static += size
        table = program.get_section_by_name(".symtab")
        named = table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
        symbols = {symbol.name: symbol["st_size"] for symbol in named}
    weights = sum(size for name, size in symbols.items() if re.fullmatch(r"op\d+_\w+", name))
    runtime = sum(size for name, size in symbols.items() if name.startswith("kb_"))
    arena = symbols.get("arena", 0)
    return Sizes(weights, runtime, image - weights - runtime, arena, static - arena, 0)


def _write_project(model: Path, board: Board, workdir: Path) -> None:
    """Sources side by side, as in the project of an emulated board."""
    sources = workdir / "src"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir(parents=True)
    hardware = hardware_dir()
    folders = (hardware / "kernels", hardware / "firmware", hardware / "firmware" / "ports" / "arduino", model)
    for file in (file for folder in folders for file in sorted(folder.iterdir())):
        if file.suffix in (".c", ".cpp", ".h") and file.name not in _FOREIGN:
            shutil.copyfile(file, sources / file.name)
    (sources / "board_config.h").write_text(f'#define KB_BOARD_NAME "{board.name}"\n')
    (workdir / "platformio.ini").write_text(project(board))


def _pio(workdir: Path, *arguments: str) -> str:
    """``pio run``; its output if it failed, else nothing."""
    environment = downloading_environment(
        PLATFORMIO_CORE_DIR=str(core_dir()), PLATFORMIO_NO_ANSI="true", PLATFORMIO_SETTING_ENABLE_TELEMETRY="no"
    )
    command = python("platformio", "run", *arguments)
    with locked(cache_dir() / "platformio.lock"):
        done = subprocess.run(command, cwd=workdir, env=environment, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    (workdir / "build.log").write_text(log)
    return log if done.returncode else ""
