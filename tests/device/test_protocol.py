# SPDX-License-Identifier: Apache-2.0
import time
import zlib
from collections.abc import Callable

import pytest

from kilobench.contracts import CellError
from kilobench.device.protocol import Gone, Patience, Session
from kilobench.device.words import parse

IDENTITY = "m-identity-[{tag},protocol=1,board=b,model=abc,clock_hz=80000000,counter=dwt,icache=on]"
DATA = bytes(range(256)) * 2
CRC = f"{zlib.crc32(DATA):08x}"
ANSWERS = {
    "identity": IDENTITY,
    "db load 512": "m-[Expecting 512 bytes]",
    "db ": "m-load-done",
    "check": f"m-check-[{{tag}},{CRC}]",
    "infer 1 0": "m-warmup-start-0\nm-infer-done\nm-results-[0.100,0.900]",
    "output": f"m-output-[{{tag}},{CRC},01ff]",
    "cycles": f"m-cycles-[{{tag}},{CRC},4294967298]",
    "layers": f"m-layer-[{{tag}},0,0,12,0000000a]\nm-layer-[{{tag}},1,1,34,ffffffff]\nm-layers-[{{tag}},{CRC},2]",
    "stack": "m-stack-[{tag},416,3]",
}


def checked(line: str) -> str:
    return f"{line}*{zlib.crc32(line.encode()):08x}"


class Scripted:
    """A transport that answers commands from a table; ``once`` is preferred, and each of its answers given once."""

    label = "b at port"

    def __init__(self, once: dict[str, str] | None = None, **answers: str) -> None:
        self.answers, self.once = ANSWERS | answers, dict(once or {})
        self.sent: list[str] = []
        self.pending = [b"m-init-done\r\n", b"m-ready\r\n"]
        self.resets = 0

    def write(self, data: bytes) -> None:
        for command in data.decode().split("%")[:-1]:
            if command:
                self.sent.append(command)
            self.pending += [line.encode() + b"\r\n" for line in (*self.answer(command), "m-ready")]

    def answer(self, command: str) -> list[str]:
        if not command:
            return []
        answers = self.once if any(command.startswith(start) for start in self.once) else self.answers
        start = next(start for start in answers if command.startswith(start))
        text = answers[start]
        if answers is self.once:
            del self.once[start]
        lines = text.replace("{tag}", command.split(" ")[-1]).split("\n")
        return [
            checked(line) if "," in line and line.startswith("m-") and "results" not in line else line for line in lines
        ]

    def readline(self, seconds: float) -> bytes:
        return self.pending.pop(0) if self.pending else b""

    def now(self) -> float:
        return time.monotonic()

    def reset(self) -> bool:
        self.resets += 1
        return True


def test_an_inference() -> None:
    board = Scripted()
    session = Session(board, "b", "abc")
    assert session.identity.clock_hz == 80_000_000
    assert session.identity.conditions == {"counter": "dwt", "icache": "on"}
    session.load(DATA)
    session.infer()
    assert session.output() == b"\x01\xff"
    assert session.cycles() == 2**32 + 2
    assert session.layers() == [(0, 12, 10), (1, 34, 0xFFFFFFFF)]
    assert session.stack() == 416
    assert board.sent[2:4] == ["db " + DATA[:256].hex(), "db " + DATA[256:].hex()]
    assert len(board.sent) == 10


@pytest.mark.parametrize("text", [IDENTITY.format(tag=7), f"m-cycles-[7,{CRC},1100]", "m-layer-[7,0,0,12,0000000a]"])
def test_every_dropped_doubled_or_changed_byte_is_noticed(text: str) -> None:
    line = checked(text)
    assert parse(line)
    for place, char in enumerate(line):
        changed = [line[:place] + chr(ord(char) ^ 1 << bit) + line[place + 1 :] for bit in range(8)]
        for damaged in (line[:place] + line[place + 1 :], line[:place] + char + line[place:], *changed):
            assert parse(damaged) is None or damaged == line, damaged


@pytest.mark.parametrize(
    ("command", "answer", "repeats"),
    [
        ("cycles", "m-cycles-[{tag},00000000,7]", "db"),  # the board has restarted: load and infer again
        ("cycles", "m-cycles-[1,00000000,7]", "cycles"),  # an answer to an older question
        ("cycles", "m-cycles-99", "cycles"),
        ("output", "\x00garbage", "output"),
        ("output", "e-[Unknown command: outpt]", "output"),
        ("infer", "m-timestamp-mode-performance\nm-init-done", "infer"),
        ("layers", f"m-layer-[{{tag}},0,0,12,0000000a]\nm-layers-[{{tag}},{CRC},2]", "layers"),
        ("layers", "m-layers-[{tag},00000000,0]", "layers"),
        ("check", "m-check-[{tag},00000000]", "db load"),
        ("stack", "m-stack-[{tag},8,1]", "layers"),  # it has restarted, and run infer% only since
    ],
)
def test_what_is_not_right_is_asked_for_again(command: str, answer: str, repeats: str) -> None:
    board = Scripted({command: answer})
    session = Session(board, "b")
    session.load(DATA)
    session.infer()
    got = (session.cycles(), session.output(), session.layers(), session.stack())
    assert got == (2**32 + 2, b"\x01\xff", [(0, 12, 10), (1, 34, 0xFFFFFFFF)], 416)
    place = next(i for i, sent in enumerate(board.sent) if sent.startswith(command))
    again = board.sent[place + 1 :]
    assert again[0].startswith("identity")
    assert any(sent.startswith(repeats) for sent in again)


def use(session: Session) -> None:
    session.load(DATA)
    session.infer()
    session.cycles()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"identity": IDENTITY.replace("board=b", "board=c")}, "identity: the firmware is for c"),
        ({"identity": IDENTITY.replace("abc", "xyz")}, r"identity: the firmware has another model \(xyz, not abc\)"),
        ({"identity": IDENTITY.replace("protocol=1", "protocol=2")}, "identity: the firmware speaks another version"),
        ({"identity": "e-[Unknown command: identity]"}, "identity: the firmware there is not kilobench's"),
        ({"identity": "hello"}, r"identity: no answer in \d\.\d s, the last line was 'm-ready'"),
        ({"cycles": "e-[no]"}, r"cycles: cycles% was answered by 'e-\[no\]' \(tried 5 times in 0\.\d s\)"),
        ({"cycles": "m-cycles-[{tag},00000000,1]"}, "cycles: the board has made no inference on this input"),
        ({"db load 512": "e-[Input must have 4 bytes]"}, "load: db load 512% was answered by 'e-"),
        ({"check": "m-check-[{tag},00000000]"}, "load: the loaded input has another checksum"),
    ],
)
def test_errors_name_board_port_and_step(answers: dict[str, str], message: str) -> None:
    with pytest.raises(CellError, match=f"^b at port: {message}"):
        use(Session(Scripted(None, **answers), "b", "abc", Patience(0.01, 0.01, 0.01)))


def test_a_silent_board_is_reset_before_it_is_given_up() -> None:
    board = Scripted()
    readline: Callable[[float], bytes] = board.readline
    board.readline = lambda seconds: readline(seconds) if board.resets else b""  # type: ignore[method-assign]
    assert Session(board, "b").identity.board == "b"
    assert board.resets == 1


def test_a_link_that_ends_is_named() -> None:
    board = Scripted()
    session = Session(board, "b")

    def gone(data: bytes) -> None:
        raise Gone("the port has vanished")

    board.write = gone  # type: ignore[method-assign]
    with pytest.raises(CellError, match=r"^b at port: load: the port has vanished"):
        session.load(DATA)
