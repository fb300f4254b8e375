# SPDX-License-Identifier: Apache-2.0
"""USB serial ports of this machine, told by vendor and product."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kilobench.boards import Board
from kilobench.contracts import UserError
from kilobench.device.words import plain

try:
    import termios

    PORT_ERRORS: tuple[type[Exception], ...] = (OSError, termios.error)
except ImportError:  # Windows
    PORT_ERRORS = (OSError,)
"""Whatever pyserial lets through of a port that is gone; its own are OSErrors."""
OPENING_ERRORS: tuple[type[Exception], ...] = (ValueError, *PORT_ERRORS)
"""And of one that cannot be opened."""

if TYPE_CHECKING:
    from serial.tools.list_ports_common import ListPortInfo


def usb_ports() -> list[ListPortInfo]:
    """The serial ports of USB devices, in order of their names."""
    from serial.tools.list_ports import comports

    return sorted((port for port in comports() if port.vid is not None), key=lambda port: port.device)


def usb_id(port: ListPortInfo) -> str:
    """Vendor and product as board files have them: ``0483:374B``."""
    return f"{port.vid:04X}:{port.pid:04X}"


def about(port: ListPortInfo) -> str:
    """What a device says of itself, which may be anything, for a line of a terminal."""
    return plain(f"{port.description}")


def find_port(board: Board, ports: Iterable[ListPortInfo] | None = None) -> str:
    """The device name of the one port that may be the board's.

    Raises UserError in one line if there is none, or more than one.
    """
    ports = list(usb_ports() if ports is None else ports)
    found = [port for port in ports if usb_id(port) in board.usb]
    if len(found) == 1:
        return found[0].device
    if found:
        names = ", ".join(f"{port.device} ({plain(f'{port.serial_number}')})" for port in found)
        raise UserError(f"several ports may be {board.name}: {names}; name one: --on serial:{found[0].device}")
    if not board.usb:
        raise UserError(f"the file of {board.name} names no usb devices; name the port: --on serial:PORT")
    seen = ", ".join(f"{port.device} ({usb_id(port)})" for port in ports) or "none"
    wanted = " or ".join(board.usb)
    raise UserError(f"no port of {board.name} (USB {wanted}) is attached; USB serial ports: {seen}")
