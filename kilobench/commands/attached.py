# SPDX-License-Identifier: Apache-2.0
"""``kilobench boards``: those known, and those attached to this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kilobench.contracts import Board
from kilobench.device.ports import about, usb_id, usb_ports

if TYPE_CHECKING:
    from rich.table import Table
    from serial.tools.list_ports_common import ListPortInfo


def candidates(port: ListPortInfo, boards: Iterable[Board]) -> list[Board]:
    """The boards that a port may belong to: one debug probe is on many boards."""
    return [board for board in boards if usb_id(port) in board.usb]


def report(boards: Mapping[str, Board], ports: Iterable[ListPortInfo] | None = None) -> int:
    """Print the known boards, what PlatformIO lacks for the real ones, and the attached ones; returns 0."""
    from kilobench.device.arduino import core_dir, install_command, installed_platforms
    from kilobench.screen import console, show

    show(console(150), _table(boards.values()))
    installed = installed_platforms()
    missing = {b.platformio["platform"]: install_command(b) for b in boards.values() if b.platformio}
    missing = {platform: command for platform, command in missing.items() if platform not in installed}
    if missing:
        print(f"\nnot in {core_dir()}, and needed to build for the real board only:")
    for command in missing.values():
        print(f"  {command}")
    ports = list(usb_ports() if ports is None else ports)
    print("\nattached:" if ports else "\nattached: no USB serial port")
    for port in ports:
        named = " or ".join(board.name for board in candidates(port, boards.values())) or "no known board"
        print(f"  {port.device}  {usb_id(port)}  {about(port)}: {named}")
    return 0


def _table(boards: Iterable[Board]) -> Table:
    from rich.table import Table

    from kilobench.plugins.cores import timing_label

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("board")
    for name in ("MHz", "flash KiB", "RAM KiB"):
        table.add_column(name, justify="right")
    for name in ("core", "cycles here", "on the board", "PlatformIO platform"):
        table.add_column(name)
    for board in boards:
        sizes = (f"{board.clock_hz / 1e6:g}", str(board.flash.bytes >> 10), str(board.ram_bytes >> 10))
        core = board.core
        cycles = (timing_label(core) if core.timing else "real only", core.counter if board.platformio else "")
        table.add_row(board.name, *sizes, core.name, *cycles, board.platformio.get("platform", ""))
    return table
