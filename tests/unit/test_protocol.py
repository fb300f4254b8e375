import zlib

import pytest

from kilobench.api import CellError
from kilobench.device.protocol import Session


class Scripted:
    """A transport that answers commands from a table."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = {"name": "m-name-dut-[kilobench b]", **answers}
        self.sent: list[str] = []
        self.pending = [b"m-init-done\r\n", b"m-ready\r\n"]

    def write(self, data: bytes) -> None:
        command = data.decode().removesuffix("%")
        self.sent.append(command)
        answer = next(text for start, text in self.answers.items() if command.startswith(start))
        self.pending += [line.encode() + b"\r\n" for line in (*answer.split("\n"), "m-ready")]

    def readline(self) -> bytes:
        return self.pending.pop(0)


def test_an_inference() -> None:
    data = bytes(range(256)) * 2
    board = Scripted(
        {
            "db load 512": "m-[Expecting 512 bytes]",
            "db ": "m-load-done",
            "check": f"m-check-[{zlib.crc32(data):08x}]",
            "infer 1 0": "m-warmup-start\nm-infer-done\nm-results-[0.1,0.9]",
            "output": "m-output-[01ff]",
            "cycles": "m-cycles-4294967298",
            "layers": "m-layer-[0,12,0000000a]\nm-layer-[1,34,ffffffff]",
            "stack": "m-stack-416",
        }
    )
    session = Session(board, "b")
    session.load(data)
    session.infer()
    assert session.output() == b"\x01\xff"
    assert session.cycles() == 2**32 + 2
    assert session.layers() == [(0, 12, 10), (1, 34, 0xFFFFFFFF)]
    assert session.stack() == 416
    assert board.sent[2:4] == ["db " + data[:256].hex(), "db " + data[256:].hex()]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"name": "m-name-dut-[kilobench other]"}, "b: the firmware is for other"),
        ({"cycles": "e-[Unknown command: cycles]"}, r"b: cycles% was answered by e-\[Unknown"),
        ({"cycles": "m-cycles-12x"}, r"b: cycles% was answered by \['m-cycles-12x'\]"),
        ({"cycles": "\x00garbage"}, "b: cycles% was answered by nonsense"),
    ],
)
def test_wrong_answers_name_board_and_command(answers: dict[str, str], message: str) -> None:
    with pytest.raises(CellError, match=message):
        Session(Scripted(answers), "b").cycles()


def test_an_input_that_arrives_changed_is_refused() -> None:
    board = Scripted({"db load": "m-[Expecting 4 bytes]", "db ": "m-load-done", "check": "m-check-[00000000]"})
    with pytest.raises(CellError, match="b: the loaded input has another checksum"):
        Session(board, "b").load(b"abcd")
