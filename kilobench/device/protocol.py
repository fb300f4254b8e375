"""The host's side of the MLPerf Tiny text protocol and its extensions (hardware/firmware/main.c)."""

from __future__ import annotations

import re
import zlib
from typing import Protocol

from kilobench.api import CellError

_CHUNK = 256


class Transport(Protocol):
    """Bytes to and from a board."""

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def readline(self) -> bytes:
        """The next line with its end; raises CellError if none will come."""
        ...


class Session:
    """A conversation with firmware that has just started. Every error is a CellError that names board and command."""

    def __init__(self, transport: Transport, board: str) -> None:
        self._transport = transport
        self._board = board
        self._read("start")
        answer = self._find("name", r"m-name-dut-\[kilobench (.*)\]")
        if answer != board:
            raise CellError(f"{board}: the firmware is for {answer}")

    def load(self, data: bytes) -> None:
        """Load an input and check that it arrived."""
        self._find(f"db load {len(data)}", r"m-\[Expecting (\d+) bytes\]")
        replies = [""]
        for start in range(0, len(data), _CHUNK):
            replies = self._ask(f"db {data[start : start + _CHUNK].hex()}")
        if "m-load-done" not in replies:
            raise CellError(f"{self._board}: the input did not arrive: {replies}")
        if int(self._find("check", r"m-check-\[([0-9a-f]{8})\]"), 16) != zlib.crc32(data):
            raise CellError(f"{self._board}: the loaded input has another checksum")

    def infer(self) -> None:
        """One inference on the loaded input."""
        self._find("infer 1 0", r"(m-infer-done)")

    def cycles(self) -> int:
        """Of the last inference."""
        return int(self._find("cycles", r"m-cycles-(\d+)"))

    def output(self) -> bytes:
        """Raw output of the last inference."""
        return bytes.fromhex(self._find("output", r"m-output-\[((?:[0-9a-f]{2})*)\]"))

    def layers(self) -> list[tuple[int, int, int]]:
        """Operator, cycles and CRC-32 of everything made on the way (whole maps or strips), from one more inference."""
        replies = self._ask("layers")
        found = [re.fullmatch(r"m-layer-\[(\d+),(\d+),([0-9a-f]{8})\]", line) for line in replies]
        layers = [(int(match[1]), int(match[2]), int(match[3], 16)) for match in found if match]
        if len(layers) != len(replies):
            raise CellError(f"{self._board}: layers% was answered by {replies[:3]}")
        return layers

    def stack(self) -> int:
        """Peak in bytes."""
        return int(self._find("stack", r"m-stack-(\d+)"))

    def _find(self, command: str, pattern: str) -> str:
        replies = self._ask(command)
        for line in replies:
            if match := re.fullmatch(pattern, line):
                return match[1]
        raise CellError(f"{self._board}: {command}% was answered by {replies}")

    def _ask(self, command: str) -> list[str]:
        self._transport.write(command.encode() + b"%")
        return self._read(command)

    def _read(self, command: str) -> list[str]:
        """Lines up to m-ready; an error reply is raised."""
        lines: list[str] = []
        while True:
            line = self._transport.readline().decode("ascii", "replace").strip()
            if line == "m-ready":
                return lines
            if line.startswith("e-"):
                raise CellError(f"{self._board}: {command[:40]}% was answered by {line}")
            if not line.startswith("m-") or len(lines) > 1_000_000:
                raise CellError(f"{self._board}: {command[:40]}% was answered by nonsense: {line[:60]!r}")
            lines.append(line)
