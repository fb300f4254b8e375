# SPDX-License-Identifier: Apache-2.0
"""What the firmware must answer to any bytes: hardware/firmware/main.c said again, with the port and model of firmware.c."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

LARGEST = 10**9 - 1
BANNER = b"m-timestamp-mode-performance\r\nm-lap-us-18446744073709551615\r\nm-init-done\r\nm-ready\r\n"
HELP = (
    (Path(__file__).parents[1] / "device/transcripts/ic01.txt")
    .read_text()
    .partition("> help%\n")[2]
    .partition("m-ready")[0]
)
_LAP = "m-lap-us-18446744073709551615"
_OVERWRITTEN = 0x5A


@dataclass
class Expected:
    """The firmware's state, and its replies to one command after the other."""

    input_bytes: int
    output_bytes: int
    floats: bool
    benchmark: bool = False
    """Whether it goes by a name of MLPerf Tiny's, and has help and "db print"."""
    values: bool = False
    """Whether its results are the output's values, not their softmax."""
    loading: bool = False
    has_input: bool = False
    inferred: bool = False
    loaded: bytes = b""
    check: int = 0
    result_check: int = 0
    cycles: int = 0
    output: bytes = b""
    ran: int = 0
    words: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.output = bytes(self.output_bytes)

    def replies(self, sent: bytes) -> bytes:
        """To all whole commands of what is sent after the start."""
        commands = sent.translate(None, b"\x00\r\n").split(b"%")[:-1]
        return BANNER + b"".join(self._reply(command) + b"m-ready\r\n" for command in commands)

    def _reply(self, command: bytes) -> bytes:
        name, _, rest = command.lstrip(b" ").partition(b" ")
        self.words = [word for word in rest.split(b" ") if word]
        known = getattr(self, f"_{name.decode('latin-1')}", None) if name in _COMMANDS else None
        if name == b"help" and self.benchmark:
            known = self._help
        if known is None:
            lines = [b"e-[Unknown command: " + _cut(name, 15) + b"]"] if name else []
        elif name in _OWN:
            lines = [self._own(name.decode())]
        else:
            lines = self._db(rest) if name == b"db" else known()
        return b"".join((line if isinstance(line, bytes) else line.encode()) + b"\r\n" for line in lines)

    # The protocol's commands

    def _name(self) -> list[str]:
        return ["m-name-dut-[kilobench host]"]

    def _profile(self) -> list[str]:
        return [
            "m-profile-[ULPMark for tinyML Firmware V0.0.1]",
            f"m-model-[{'ic01' if self.benchmark else '0123abcd'}]",
        ]

    def _help(self) -> list[str]:
        return HELP.splitlines()

    def _timestamp(self) -> list[str]:
        return [_LAP]

    def _results(self) -> list[str]:
        return [self._said()] if self.inferred else ["e-[No result]"]

    def _db(self, rest: bytes) -> list[bytes]:
        if not rest:
            return [b"e-[Command 'db' requires a subcommand]"]
        second, *words = [word for word in rest[1:].split(b" ") if word] or [b""]
        if rest.startswith(b"p") and self.benchmark:
            return self._print() if second == b"rint" else [b"e-[Unknown command: db p" + _cut(second, 11) + b"]"]
        if not rest.startswith(b"l"):
            return self._hex(rest)
        if second != b"oad":
            return [b"e-[Unknown command: db l" + _cut(second, 11) + b"]"]
        right = len(words) == 1 and _number(words[0]) == self.input_bytes
        self.loaded, self.has_input, self.inferred, self.loading = b"", False, False, right
        return [(b"m-[Expecting %d bytes]" if right else b"e-[Input must have %d bytes]") % self.input_bytes]

    def _print(self) -> list[bytes]:
        if not self.has_input:
            return [b"e-[No input]"]
        rows = [self.loaded[start : start + 8] for start in range(0, self.input_bytes, 8)]
        return [b"m-buffer-" + row.hex("-").encode() for row in rows] + [b""] * (self.input_bytes % 8 > 0)

    def _hex(self, digits: bytes) -> list[bytes]:
        self.check = 0
        room = (self.input_bytes - len(self.loaded)) if self.loading else 0
        good = digits[: next((i for i, c in enumerate(digits) if chr(c) not in "0123456789abcdefABCDEF"), len(digits))]
        mistake = b"Too many bytes" if len(good) > 2 * room else b""
        if len(good) % 2:
            mistake = b"Insufficient number of hex digits"
        if len(good) < len(digits):
            mistake = b"Invalid hex digit"
        if mistake:
            self.loading = self.has_input = self.inferred = False
            return [b"e-[" + mistake + b"]"]
        self.loaded += bytes.fromhex(good.decode())
        if len(self.loaded) < self.input_bytes:
            return []
        self.loading, self.has_input = False, True
        return [b"m-load-done"]

    def _infer(self) -> list[str]:
        count, warm_ups, *more = [*map(_number, self.words), *(1, 10)[len(self.words) :]]
        if not count or warm_ups is None or more:
            return ["e-[infer takes two numbers, the first above 0]"]
        if not self.has_input and not self.inferred:
            return ["e-[No input]"]
        if self.has_input:
            self.output, self.result_check, self.cycles = self._run(self.loaded), self.check, 3
        self.ran |= 1
        self.has_input, self.inferred = False, True
        begun = [f"m-warmup-start-{warm_ups}", "m-warmup-done", f"m-infer-start-{count}"]
        return [*begun, _LAP, _LAP, "m-infer-done", self._said()]

    def _run(self, data: bytes) -> bytes:
        return (data * (self.output_bytes // len(data) + 1))[: self.output_bytes]

    def _said(self) -> str:
        return self._values() if self.values else self._shares()

    def _values(self) -> str:
        if self.floats:
            values = np.frombuffer(self.output, "<f4")
        else:
            values = (np.frombuffer(self.output, "i1").astype("f4") - np.float32(3)) * np.float32(0.125)
        if np.isnan(values).any():
            return "e-[An output is no number]"
        return f"m-results-[{','.join(map(_decimal, values))}]"

    def _shares(self) -> str:
        with np.errstate(invalid="ignore", over="ignore"):
            nat = np.float32(1.44269504) * np.float32(65536)
            if self.floats:
                values = np.frombuffer(self.output, "<f4") * nat
            else:
                values = (np.frombuffer(self.output, "i1").astype("f4") - np.float32(3)) * (np.float32(0.125) * nat)
            if np.isnan(values).any():
                return "e-[An output is no number]"
            exponents = np.clip(values, np.float32(-1e9), np.float32(1e9)).astype(np.int64)
        powers = [_power(int(exponents.max() - one)) for one in exponents]
        one = sum(powers) // 1000 + 1
        thousandths = [(power + one // 2) // one for power in powers]
        return f"m-results-[{','.join(f'{n // 1000}.{n % 1000:03}' for n in thousandths)}]"

    # Our own

    def _own(self, name: str) -> str:
        if len(self.words) != 1 or _number(self.words[0]) is None:
            return f"e-[{name} takes a number]"
        return str(getattr(self, f"_{name}")(self.words[0].decode()))

    def _identity(self, tag: str) -> str:
        about = "protocol=1,board=host,model=0123abcd,clock_hz=4294967295,counter=none"
        return _checked(f"m-identity-[{tag},{about}]")

    def _check(self, tag: str) -> str:
        if not self.has_input:
            return "e-[No input]"
        self.check = zlib.crc32(self.loaded)
        return _checked(f"m-check-[{tag},{self.check:08x}]")

    def _cycles(self, tag: str) -> str:
        return _checked(f"m-cycles-[{tag},{self.result_check:08x},{self.cycles}]")

    def _output(self, tag: str) -> str:
        return _checked(f"m-output-[{tag},{self.result_check:08x},{self.output.hex()}]")

    def _stack(self, tag: str) -> str:
        return _checked(f"m-stack-[{tag},416,{self.ran}]")

    def _layers(self, tag: str) -> str:
        if not self.has_input:
            return "e-[No input]"
        self.has_input, self.ran = False, self.ran | 2
        made = self._run(self.loaded), bytes([_OVERWRITTEN] * self.input_bytes)
        lines = [f"m-layer-[{tag},{op},{op},1,{zlib.crc32(data):08x}]" for op, data in enumerate(made)]
        return "\r\n".join(map(_checked, [*lines, f"m-layers-[{tag},{self.check:08x},2]"]))


_OWN = (b"identity", b"check", b"layers", b"cycles", b"output", b"stack")
_COMMANDS = (*_OWN, b"name", b"profile", b"timestamp", b"db", b"infer", b"results")


def _cut(word: bytes, most: int) -> bytes:
    return word if len(word) <= most else word[: most - 1] + b"?"


def _number(word: bytes) -> int | None:
    """None unless it is one that the firmware takes."""
    return int(word) if len(word) <= 11 and word.isdigit() and int(word) <= LARGEST else None


def _decimal(value: np.float32) -> str:
    size = min(abs(value), np.float32(4e9))
    whole = np.float32(int(size))
    thousandths = int((size - whole) * np.float32(1000) + np.float32(0.5))
    return f"{'-' * bool(value < 0)}{int(whole) + thousandths // 1000}.{thousandths % 1000:03}"


def _power(x: int) -> int:
    f = (x & 0xFFFF) >> 1
    part = 32768 - (f * (22662 - (f * (7575 - (f * 1297 >> 15)) >> 15)) >> 15)
    return part << 5 >> (x >> 16) if x >> 16 < 32 else 0


def _checked(line: str) -> str:
    return f"{line}*{zlib.crc32(line.encode()):08x}"
