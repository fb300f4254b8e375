# SPDX-License-Identifier: Apache-2.0
"""The pseudo-terminal of an emulated board, whose clients come and go."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep

import pytest

from kilobench.commands import terminal
from kilobench.commands.terminal import PseudoTerminal
from kilobench.device.emulator import EmulatedBoard
from tests.device.conftest import Example

pytestmark = pytest.mark.usefixtures("deadline")


@contextmanager
def opened(port: PseudoTerminal) -> Iterator[int]:
    client = os.open(port.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield client
    finally:
        os.close(client)


def arrived(client: int, wanted: int = 1) -> bytes:
    """What has come for a client, once there are so many bytes; nothing is waited for if none are wanted."""
    got, end = b"", monotonic() + 5
    while monotonic() < end:
        try:
            got += os.read(client, 1000)
        except BlockingIOError:
            if len(got) >= wanted:
                break
            sleep(0.01)
    return got


def until(holds: Callable[[], bool]) -> None:
    end = monotonic() + 5
    while not holds():
        assert monotonic() < end
        sleep(0.01)


@pytest.fixture
def port() -> PseudoTerminal:
    return PseudoTerminal()


@pytest.fixture
def reading(port: PseudoTerminal) -> Iterator[Callable[[], Future[bytes]]]:
    """Begins to read what clients say."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(port.read)


def test_what_a_board_says_at_its_start_is_there_for_the_first_client(
    port: PseudoTerminal, reading: Callable[[], Future[bytes]]
) -> None:
    port.write(b"m-ready\r\n")
    commands = reading()
    with opened(port) as first:
        assert arrived(first) == b"m-ready\r\n"
        os.write(first, b"name%")
        assert commands.result() == b"name%"


def test_nothing_is_left_of_a_client_that_has_closed(
    port: PseudoTerminal, reading: Callable[[], Future[bytes]]
) -> None:
    commands = reading()
    with opened(port) as first:
        os.write(first, b"name%prof")
        assert commands.result() == b"name%"
        port.write(b"unread\r\n")
        commands = reading()
    until(lambda: not port._served)
    with opened(port) as second:
        assert arrived(second, 0) == b""
        os.write(second, b"timestamp%")
        assert commands.result() == b"timestamp%"
        port.write(b"m-lap-us-1\r\n")
        assert arrived(second) == b"m-lap-us-1\r\n"


def test_what_a_board_says_to_a_client_that_has_closed_meanwhile_is_dropped(
    port: PseudoTerminal, reading: Callable[[], Future[bytes]]
) -> None:
    commands = reading()
    with opened(port) as first:
        os.write(first, b"infer 9%name%inf")
        assert commands.result() == b"infer 9%name%"
        port.write(b"m-infer-start-9\r\n")
        os.write(first, b"er 7%")
    port.write(b"")
    with opened(port) as second:
        port.write(b"m-infer-done\r\n")
        os.write(second, b"profile%")
        assert port.read() == b"profile%"
        assert arrived(second, 0) == b""


def test_a_busy_board_keeps_its_client_waiting_with_empty_lines(
    port: PseudoTerminal, reading: Callable[[], Future[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never within a line, and not before some seconds."""
    commands = reading()
    with opened(port) as client:
        os.write(client, b"infer 9%")
        commands.result()
        port.write(b"")
        port.write(b"m-lap")
        monkeypatch.setattr(terminal, "_SILENT_SECONDS", 0.0)
        port.write(b"")
        assert arrived(client) == b"m-lap"
        port.write(b"-us-1\r\n")
        port.write(b"")
        assert arrived(client) == b"-us-1\r\n\r\n"


def test_a_board_sends_while_it_runs(example: Example) -> None:
    """Lines come when they are printed, long before the board is ready for the next command, and cost no cycle."""
    lines: list[tuple[int, bytes]] = []
    with EmulatedBoard(
        example.firmware.elf, example.board, watch=lambda now: lines.append((now, emulated.sent()))
    ) as emulated:
        emulated.run()
        lines.clear()
        data = example.reference.inputs[0].tobytes()
        emulated.write(f"db load {len(data)}%db {data.hex()}%infer 200 0%".encode())
        rest = emulated.run()
        watched = emulated.cycles
    assert rest == b"" and b"".join(said for _, said in lines).endswith(b"m-ready\r\n")
    (begun,) = (now for now, said in lines if b"m-infer-start" in said)
    (ended,) = (now for now, said in lines if b"m-infer-done" in said)
    assert ended - begun > 199 * example.undisturbed.cycles[0]
    assert all(said.count(b"\n") <= 1 for _, said in lines)
    with EmulatedBoard(example.firmware.elf, example.board) as emulated:
        emulated.run()
        emulated.write(f"db load {len(data)}%db {data.hex()}%infer 200 0%".encode())
        emulated.run()
        assert emulated.cycles == watched
