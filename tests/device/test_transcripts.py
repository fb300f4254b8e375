# SPDX-License-Identifier: Apache-2.0
"""All that MLCommons' runner (mlcommons/tiny, benchmark/runner) says in a session, and what firmware answers, byte for byte.

``python -m tests.device.test_transcripts`` writes the transcripts anew after a wanted change; read the diff.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import serial

from kilobench.compile.emit import emit
from kilobench.compile.ends import anomaly_score, pixels
from kilobench.compile.graph import Graph
from kilobench.device.build import build
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import Builder
from tests.device.serving import served

pytestmark = pytest.mark.usefixtures("deadline")

FOLDER = Path(__file__).parent / "transcripts"
BOARD = "nucleo_l476rg"
WINDOWS = {"ic01": "infer 20 5", "kws01": "infer 70 10", "ad01": "infer 150 10"}
"""As its tests_performance.yaml has them, but for ad01: 1500."""
LAP = re.compile(r"(?<=m-lap-us-)\d+")


def model(benchmark: str) -> Graph:
    """A small one: pixels to shares, features to logits, or an autoencoder's error."""
    b = Builder(3)
    if benchmark == "ad01":
        x = b.tensor((1, 1, 10), "int8")
        return anomaly_score(b.graph(x, b.conv(x, "int8", 10, (1, 1), (1, 1), (0, 0))))
    x = b.tensor((4, 4, 3) if benchmark == "ic01" else (7, 3, 1), "int8")
    logits = b.conv(x, "int8", 4, x.shape[:2], (1, 1), (0, 0))
    return b.graph(x, logits) if benchmark == "kws01" else pixels(b.graph(x, b.any("softmax", logits, "int8")))


def inputs(graph: Graph, count: int) -> list[bytes]:
    """What files hold: any bytes, or moderate floats."""
    source, random = graph.tensors[graph.input], np.random.RandomState(1)
    if source.dtype == "float32":
        return [random.randint(-99, 99, source.bytes // 4).astype("<f4").tobytes() for _ in range(count)]
    return [random.bytes(source.bytes) for _ in range(count)]


def loading(data: bytes) -> list[str]:
    """31 bytes at a time."""
    return [f"db load {len(data)}", *(f"db {data[start : start + 31].hex()}" for start in range(0, len(data), 31))]


def sessions(benchmark: str) -> list[list[str]]:
    """The commands of one client after another: what people may ask, and both modes, before which another one identifies."""
    data = inputs(model(benchmark), 3)
    accuracy = [command for x in data for command in (*loading(x), "infer 1 0")]
    performance = [command for x in data[:2] for command in (*loading(x), WINDOWS[benchmark])]
    first = ["help", "db print", "results", "infer", "db pr", "db load 3"]
    last = [*loading(data[0]), "db print", "infer 1", "infer 2", "db print", "results", "timestamp"]
    return [first, ["name", "profile"], accuracy, ["name", "profile"], performance, last]


def transcript(port: str, clients: list[list[str]]) -> str:
    """What is sent, each command after >, and all bytes that come until m-ready, CR LF as line ends; a line parts clients."""
    text = ""
    for commands in clients:
        with serial.Serial(port, 115200, timeout=10) as client:
            for command in commands:
                client.write(f"{command}%".encode())
                answer = client.read_until(b"m-ready\r\n").decode()
                assert answer.endswith("m-ready\r\n") and answer.count("\n") == answer.count("\r\n"), (command, answer)
                text += f"> {command}%\n{answer.replace(chr(13), '')}"
        text += "--\n"
    return text


def recorded(benchmark: str, folder: Path) -> str:
    """The transcript of a benchmark's firmware, built anew."""
    board = load_registry().get("boards", BOARD)
    (code := folder / "model").mkdir(parents=True)
    emit(model(benchmark), code, benchmark, benchmark)
    with served(build(code, board, folder / "build").elf, BOARD) as port:
        return transcript(port, sessions(benchmark))


def masked(text: str) -> str:
    """Without time stamps: cycles are the compiler's as well."""
    return LAP.sub("N", text)


@pytest.mark.parametrize("name", WINDOWS)
def test_sessions_are_answered_byte_for_byte(name: str, tmp_path: Path) -> None:
    text = recorded(name, tmp_path)
    assert masked(text) == (FOLDER / f"{name}.txt").read_text()
    stamps = [int(stamp) for stamp in LAP.findall(text)]
    assert stamps == sorted(stamps)
    spent = [after - before for before, after in zip(stamps[::2], stamps[1::2], strict=False)]
    # Of a window the first stamp's writing is part, which takes longer as stamps grow: those of ``infer 1`` and 2 are as long.
    count, one, two = int(WINDOWS[name].split()[1]), spent[5], spent[6]
    for window in spent[3:5]:
        assert abs(window - one - (count - 1) * (two - one)) < 2 * count, spent  # all are whole microseconds


if __name__ == "__main__":
    for name in sys.argv[1:] or WINDOWS:
        with tempfile.TemporaryDirectory() as scratch:
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f"{name}.txt").write_text(masked(recorded(name, Path(scratch))))
