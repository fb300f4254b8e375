# SPDX-License-Identifier: Apache-2.0
"""``kilobench measure`` of any model file."""

from pathlib import Path

import numpy as np
import pytest

from kilobench.cli import main
from kilobench.device import elf
from kilobench.report.facts import read_facts
from kilobench.results.store import Store
from tests.data.labelled import folder_of
from tests.report.subjects import graph_file, small

ROOT = Path(__file__).parents[2]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return graph_file(tmp_path, small())


def test_it_writes_what_is_wanted_and_nothing_else(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place := tmp_path / "place").mkdir()
    monkeypatch.chdir(place)
    boards = ["--board", "nucleo_l476rg", "--board", "raspberry_pi_pico"]
    assert main(["measure", str(model), *boards]) == 0
    assert list(place.iterdir()) == []
    assert main(["measure", str(model), *boards, "--keep", "kept/here", "--html", "pages/page.html"]) == 0
    told = capsys.readouterr().out
    assert "kept in: kept/here" in told and "page: pages/page.html" in told and "record" not in told
    assert "nucleo_l476rg" in Path("pages/page.html").read_text()
    kept = {path.name for path in Path("kept/here").iterdir()}
    assert kept == {"report.json", "model.c", "model_config.h", "nucleo_l476rg.elf", "raspberry_pi_pico.elf"}
    for board in read_facts(Path("kept/here/report.json")).boards:
        assert elf.sizes(Path(f"kept/here/{board.board}.elf")).flash_bytes == board.flash_bytes


def test_limits_decide_the_exit_code(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["measure", str(model), "--board", "nucleo_l476rg", "--fail-if-over"]
    assert main([*command, "flash=1MiB,ram=1MiB,latency=1s"]) == 0
    capsys.readouterr()
    assert main([*command, "flash=1KiB,latency=1us"]) == 1
    last = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[:2] for line in last] == [["nucleo_l476rg:", "flash"], ["nucleo_l476rg:", "latency"]]
    for wrong in ("flash=1KB", "speed=3", "", "board=teensy_40"):
        assert main([*command, wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_accuracy_on_labelled_inputs(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = folder_of(tmp_path / "set", np.arange(-128, 128, dtype=np.int8).reshape(4, 64), [0, 1, 2, 0], 3)
    command = ["measure", str(model), "--board", "nucleo_l476rg", "--inputs"]
    assert main([*command, str(inputs), "--keep", str(tmp_path / "kept")]) == 0
    judged = read_facts(tmp_path / "kept" / "report.json").judged
    assert judged and judged.accuracy and judged.inputs == "set" and judged.count == 4 and judged.target is None
    assert f"accuracy {100 * judged.accuracy.mean:.2f} % ({judged.accuracy.correct} of 4; " in capsys.readouterr().out
    (inputs / "1.bin").write_bytes(bytes(256))
    for wrong, told in (
        (inputs, "1.bin holds float32 or other 32-bit values, 256 bytes; the model takes int8 8x8x1, 64 bytes\n"),
        (
            inputs / "0.bin",
            "0.bin is no folder: labelled inputs are one with y_labels.csv and a file for every input\n",
        ),
    ):
        assert main([*command, str(wrong)]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("kilobench: ") and said.err.endswith(told)
        assert said.err.count("\n") == 1


def test_a_published_model_has_its_report_and_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One whose test inputs take seconds to predict, and need no data set to be fetched."""
    published = Store(ROOT / "leaderboard" / "records")
    model = published.model_path(published.select(task="digits", recipe="int8")[0])
    assert main(["measure", str(model), "--board", "nucleo_l476rg", "--output", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    (record,) = Store(tmp_path / "records").read_all()
    assert "arena over time" in told and "accuracy %" in told and "record: " in told
    assert f"{record.cycles / 1e6:.2f} Mcycles" in told and record.verified_inputs == 8  # type: ignore[operator]


def test_a_file_that_is_no_model_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("m.safetensors", "m.tflite", "m.onnx", "m.pt2", "m.bin"):
        (tmp_path / name).write_bytes(b"\0\1" * 50)
        assert main(["measure", str(tmp_path / name), "--board", "nucleo_l476rg"]) == 2
        told = capsys.readouterr()
        assert told.out == "" and told.err.startswith("kilobench: ") and told.err.count("\n") == 1
