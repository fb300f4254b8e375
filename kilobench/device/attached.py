"""Boards at USB ports of this machine, told by vendor and product; ``kilobench boards``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kilobench.api import Board, UserError

if TYPE_CHECKING:
    from rich.table import Table
    from serial.tools.list_ports_common import ListPortInfo


def usb_ports() -> list[ListPortInfo]:
    """The serial ports of USB devices, in order of their names."""
    from serial.tools.list_ports import comports

    return sorted((port for port in comports() if port.vid is not None), key=lambda port: port.device)


def usb_id(port: ListPortInfo) -> str:
    """Vendor and product as board files have them: ``0483:374B``."""
    return f"{port.vid:04X}:{port.pid:04X}"


def candidates(port: ListPortInfo, boards: Iterable[Board]) -> list[Board]:
    """The boards that a port may belong to: one debug probe is on many boards."""
    return [board for board in boards if usb_id(port) in board.usb]


def find_port(board: Board, ports: Iterable[ListPortInfo] | None = None) -> str:
    """The device name of the one port that may be the board's.

    Raises UserError in one line if there is none, or more than one.
    """
    ports = list(usb_ports() if ports is None else ports)
    found = [port for port in ports if usb_id(port) in board.usb]
    if len(found) == 1:
        return found[0].device
    if found:
        names = ", ".join(f"{port.device} ({port.serial_number})" for port in found)
        raise UserError(f"several ports may be {board.name}: {names}; name one: --on serial:{found[0].device}")
    if not board.usb:
        raise UserError(f"the file of {board.name} names no usb devices; name the port: --on serial:PORT")
    seen = ", ".join(f"{port.device} ({usb_id(port)})" for port in ports) or "none"
    wanted = " or ".join(board.usb)
    raise UserError(f"no port of {board.name} (USB {wanted}) is attached; USB serial ports: {seen}")


def report(boards: Mapping[str, Board], ports: Iterable[ListPortInfo] | None = None) -> int:
    """Print the known boards, what PlatformIO lacks for the real ones, and the attached ones; returns 0."""
    from rich.console import Console

    from kilobench.device.arduino import core_dir, install_command, installed_platforms

    console = Console(width=None if Console().is_terminal else 150)
    console.print(_table(boards.values()))
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
        print(f"  {port.device}  {usb_id(port)}  {port.description}: {named}")
    return 0


def _table(boards: Iterable[Board]) -> Table:
    from rich.table import Table

    from kilobench.device.boards import timing_label

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("board")
    for name in ("MHz", "flash KiB", "RAM KiB"):
        table.add_column(name, justify="right")
    for name in ("core", "cycles here", "on the board", "PlatformIO platform"):
        table.add_column(name)
    for board in boards:
        sizes = (f"{board.clock_hz / 1e6:g}", str(board.flash.bytes >> 10), str(board.ram_bytes >> 10))
        cycles = (timing_label(board) if board.timing else "real only", board.counter)
        table.add_row(board.name, *sizes, board.core, *cycles, board.platformio.get("platform", ""))
    return table
