# SPDX-License-Identifier: Apache-2.0
"""``kilobench boards``: those known, and those attached to this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from kilobench.boards import Board
from kilobench.contracts import UserError
from kilobench.device.ports import about, usb_id, usb_ports
from kilobench.plugins.spec import nearest

if TYPE_CHECKING:
    from rich.table import Table
    from serial.tools.list_ports_common import ListPortInfo


def candidates(port: ListPortInfo, boards: Iterable[Board]) -> list[Board]:
    """The boards that a port may belong to: one debug probe is on many boards."""
    return [board for board in boards if usb_id(port) in board.usb]


def matching(boards: Mapping[str, Board], words: Collection[str]) -> dict[str, Board]:
    """The boards whose name, title, chip or core has all words in it, in any case. Raises UserError where there are none."""
    if not all(word.strip() for word in words):
        raise UserError("a word to look for is empty")
    found = {
        name: board
        for name, board in boards.items()
        if all(word.lower() in " ".join((name, board.title, board.mcu, board.core.name)).lower() for word in words)
    }
    if not found:
        asked = " ".join(words)
        raise UserError(f"no board has {asked!r} in its name, title, chip or core{nearest(asked, boards)}")
    return found


def report(
    boards: Mapping[str, Board], words: Collection[str] = (), ports: Iterable[ListPortInfo] | None = None
) -> int:
    """Print the known boards, or those that match ``words``, what PlatformIO lacks for them, and what is attached; returns 0.

    Raises UserError where no board matches.
    """
    from kilobench.device.arduino import core_dir, install_command, installed_platforms
    from kilobench.screen import console, show

    shown = matching(boards, words).values()
    show(console(150), _table(shown))
    print(f"{_counted(shown)}; kilobench boards WORD shows fewer, kilobench show BOARD all of one")
    installed = installed_platforms()
    missing = {b.platformio["platform"]: install_command(b) for b in shown if b.platformio}
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


def _cycles(board: Board) -> str:
    """How they come about here."""
    return ("estimated" if board.core.estimated else "emulated") if board.core.timing else "real only"


def _counted(boards: Iterable[Board]) -> str:
    counts = Counter(map(_cycles, boards))
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in ("emulated", "estimated", "real only") if counts[kind])
    return f"\n{counts.total()} boards: {kinds}"


def _table(boards: Iterable[Board]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("board")
    for name in ("MHz", "flash KiB", "RAM KiB"):
        table.add_column(name, justify="right")
    for name in ("core", "cycles", "flash waits", "mA", "PlatformIO"):
        table.add_column(name, justify="right" if name == "mA" else "left")
    for board in boards:
        sizes = (f"{board.clock_hz / 1e6:g}", str(board.flash.bytes >> 10), str(board.ram_bytes >> 10))
        known = ("modelled" if board.flash_timing else "", f"{board.run_current.ma:g}" if board.run_current else "")
        table.add_row(board.name, *sizes, board.core.name, _cycles(board), *known, board.platformio.get("platform", ""))
    return table
