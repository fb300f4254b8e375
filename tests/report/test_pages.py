# SPDX-License-Identifier: Apache-2.0
"""A report as text, page, changes and tables."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from kilobench.record import accuracy, auc
from kilobench.report import changes
from kilobench.report.facts import Facts, Judged, content
from kilobench.report.interface import Report
from kilobench.report.page import page
from kilobench.report.text import count, short_names, significant
from tests.report.subjects import measured, small

HOSTILE = '<script>alert(1)</script> | `x` [a](http://a) "quoted" & ' + "long " * 60


@pytest.fixture(scope="module")
def facts() -> Facts:
    return measured(small(), "nucleo_l476rg", "raspberry_pi_pico").facts


def alone(facts: Facts) -> Facts:
    return facts.model_copy(update={"boards": facts.boards[:1]})


def renamed(facts: Facts) -> Facts:
    """With names that mean something to a browser or to Markdown."""
    layers = tuple(layer.model_copy(update={"name": HOSTILE}) for layer in facts.layers)
    moments = tuple(moment.model_copy(update={"layers": (HOSTILE,)}) for moment in facts.moments)
    return facts.model_copy(update={"model": HOSTILE, "peak": HOSTILE, "layers": layers, "moments": moments})


def test_the_first_lines_say_what_it_takes(facts: Facts) -> None:
    text = " ".join(str(Report(alone(facts))).split())
    board = facts.boards[0]
    assert re.search(
        r"nucleo_l476rg: flash [\d.]+ KiB \(weights [\d.]+, kernels and runtime [\d.]+\), RAM [\d.]+ KiB "
        r"\(arena [\d.]+, stack [\d.]+, static [\d.]+; peak in [\w.]+\), [\d.]+ Mcycles \(emulated, zero wait states\); "
        r"[\d.]+ Mcycles with its flash \(estimated\), [\d.]+ ms \([\d.]+-[\d.]+\) at 80 MHz "
        r"fits nucleo_l476rg \(1024.0 KiB of flash, 128.0 of RAM\): [\d.]+ and",
        text,
    )
    assert f"{board.cycles / 1e6:.2f} Mcycles" in text and f"flash {board.flash_bytes / 1024:.1f} KiB" in text  # type: ignore[operator]


def test_energy_is_estimated_from_the_data_sheet_and_not_mixed_with_a_meter_s(facts: Facts) -> None:
    board, pico = facts.boards
    assert board.energy_estimated_uj == pytest.approx(10.2 * 3.0 * board.latency_ms) and board.energy_uj is None
    assert (pico.energy_estimated_uj, pico.energy_source) == (None, "")
    told = (
        f"{significant(board.energy_estimated_uj)} µJ, estimated from the data sheet: 10.2 mA at 3 V (STM32L476xx data"
    )
    text = " ".join(str(Report(alone(facts))).split())
    assert f" KiB are left energy {told}" in text and "measured" not in text
    metered = alone(facts).model_copy(update={"boards": (board.model_copy(update={"energy_uj": 1234.5}),)})
    both = " ".join(str(Report(metered)).split())
    assert "1234.5 µJ (measured)" in both and told in both
    html = page(metered)
    assert "<dt>energy, measured</dt><dd>1234.5 µJ" in html
    assert f"<dt>energy, estimated from the data sheet</dt><dd>{significant(board.energy_estimated_uj)} µJ" in html
    table = str(Report(facts))
    assert "µJ estimated from data sheets" in " ".join(table.split()) and " - yes" in " ".join(table.split())
    assert "µJ" not in str(Report(facts.model_copy(update={"boards": (pico, pico)})))
    blind = board.model_copy(update={"cycles_flash": None, "cycles_expected": None})
    table = " ".join(str(Report(facts.model_copy(update={"boards": (blind, pico)}))).split())
    assert (
        f"≥{blind.latency_ms:.1f} ≥{significant(board.energy_estimated_uj)} yes" in table
        and "; ≥: what it waits" in table
    )
    frame = Report(facts).boards.set_index("board")["energy_estimated_uj"]
    assert frame["nucleo_l476rg"] == board.energy_estimated_uj and np.isnan(frame["raspberry_pi_pico"])


def test_what_would_be_better_in_ram_is_said_where_it_has_room(facts: Facts) -> None:
    ms = facts.boards[0].clock_hz // 1000
    waiting = {"cycles": 10 * ms, "cycles_flash": 15 * ms, "weights_waits": 3 * ms}
    board = facts.boards[0].model_copy(update=waiting)

    def told(**update: int | None) -> str:
        shown = facts.model_copy(update={"boards": (board.model_copy(update=update),)})
        assert ("in RAM instead of flash" in page(shown)) == ("in RAM instead of flash" in str(Report(shown)))
        return " ".join(str(Report(shown)).split())

    weights, others = (
        f"{size / 1024:.1f} KiB" for size in (board.flash.weights, board.flash_bytes - board.flash.weights)
    )
    said = f"weights ({weights}) at least 3.0 ms less"
    assert f"in RAM instead of flash (estimated): {said}, kernels and runtime ({others}) up to 2.0 ms less" in told()
    room = board.ram_bytes + board.flash.weights
    assert told(board_ram_bytes=room).count(" ms less") == 1 and said in told(board_ram_bytes=room)
    for update in ({"board_ram_bytes": board.ram_bytes}, {"over_flash_bytes": 1}, {"weights_waits": None}):
        assert "in RAM instead" not in told(**update)


def test_what_does_not_fit_is_said(facts: Facts) -> None:
    over = facts.boards[0].model_copy(update={"over_flash_bytes": 2048, "over_ram_bytes": 512})
    text = " ".join(str(Report(facts.model_copy(update={"boards": (over,)}))).split())
    assert (
        "does not fit nucleo_l476rg (1024.0 KiB of flash, 128.0 of RAM): over by 2.0 KiB of flash and 0.5 KiB of RAM"
        in text
    )
    table = str(Report(facts.model_copy(update={"boards": (over, facts.boards[1])})))
    assert "no: flash +2.0 RAM +0.5" in " ".join(table.split())
    unknown = over.model_copy(update={"cycles": None, "layer_cycles": ()})
    assert "not run: too large" in str(Report(facts.model_copy(update={"boards": (unknown,)})))


@pytest.mark.parametrize("form", [alone, lambda facts: facts, renamed, lambda facts: renamed(alone(facts))])
def test_it_fits_80_columns_and_needs_no_terminal(form, facts: Facts) -> None:  # type: ignore[no-untyped-def]
    text = str(Report(form(facts)))
    assert max(map(len, text.splitlines())) <= 80 and "\x1b" not in text
    assert "arena over time" in text and "▲" in text


def test_every_layer_has_a_line_of_its_own(facts: Facts) -> None:
    wide = {
        "name": "depthwise_conv2d_12",
        "kind": "depthwise_conv2d",
        "output": "int8 112x112x64",
        "macs": 123_456_789,
    }
    layers = tuple(layer.model_copy(update=wide) for layer in facts.layers)
    cycles = {"layer_cycles": (123_456_789,) * len(layers), "layer_cycles_flash": (223_456_789,) * len(layers)}
    board = facts.boards[0].model_copy(update=cycles)
    text = str(Report(facts.model_copy(update={"layers": layers, "boards": (board,)})))
    assert sum("depthw…nv2d_12 depthwise_conv2d 112x112x64" in line for line in text.splitlines()) == len(layers)
    assert [significant(value) for value in (0.5, 4.567, 45.67, 456.7, 4567.0)] == [
        "0.50",
        "4.57",
        "45.7",
        "457",
        "4567",
    ]


def test_numbers_are_short() -> None:
    numbers = 0, 999, 9999, 10_000, 45_678, 999_499, 1_000_000, 12_345_678, 123_456_789, 1_234_567_890
    assert [*map(count, numbers)] == [
        "0",
        "999",
        "9999",
        "10.0 k",
        "45.7 k",
        "999 k",
        "1.00 M",
        "12.3 M",
        "123 M",
        "1.23 G",
    ]


class _Reader(HTMLParser):
    """What a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("form", [alone, lambda facts: facts, renamed])
def test_a_page_needs_nothing_else(form, facts: Facts) -> None:  # type: ignore[no-untyped-def]
    given = form(facts)
    reader = _Reader()
    reader.feed(html := page(given))
    assert "script" not in reader.tags and "link" not in reader.tags and "@import" not in html and "url(" not in html
    assert all(address.startswith("#") for address in reader.addresses)
    assert given.model in reader.text
    assert reader.tags.count("rect") == len(facts.moments) + 2 * len(facts.layers) * len(given.boards)
    for board in given.boards:
        assert f"{board.cycles / 1e6:.2f} Mcycles" in reader.text  # type: ignore[operator]


def test_changes_are_told(facts: Facts) -> None:
    board = facts.boards[0]
    fewer = board.model_copy(
        update={
            "cycles": board.cycles // 2,
            "cycles_flash": board.cycles_flash // 2,
            "layer_cycles": (board.layer_cycles[0] + 1500, *board.layer_cycles[1:]),
        }  # type: ignore[operator]
    )
    head = facts.model_copy(update={"digest": "another", "boards": (fewer, facts.boards[1])})
    text = changes.changes(facts, head)
    first, second = (line for line in text.splitlines() if line.startswith(("| nucleo_l476rg", "| raspberry")))
    assert first.count("-50.0 %") == 2 and "(" not in second
    assert "1 layers changed on nucleo_l476rg" in text and "(+1.5, " in text
    assert "The model is the same" in changes.changes(facts, facts) and "<details>" not in changes.changes(facts, facts)
    assert "The base has no such model" in changes.changes(None, facts)


def test_a_comment_holds_no_markup_of_the_model(facts: Facts) -> None:
    text = changes.changes(facts, renamed(facts))
    for sign in ("<script", "](", "`x`"):
        assert sign not in text


def test_changes_on_the_command_line(facts: Facts, tmp_path: Path) -> None:
    head = tmp_path / "head.json"
    head.write_bytes(content(facts))

    def run(*files: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kilobench.report.changes", *map(str, files)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(tmp_path / "none", head).stdout.startswith("### small.tflite")
    (tmp_path / "bad.json").write_text("{}")
    done = run(head, tmp_path / "bad.json")
    assert done.returncode == 2 and done.stderr.startswith("kilobench: ") and done.stderr.count("\n") == 1


def test_names_lose_what_tells_nothing(facts: Facts) -> None:
    names = [
        "net.stem.conv",
        "net.a.conv_of_many_letters",
        "net.depthwise_conv2d_12.BiasAdd",
        "net.depthwise_conv2d.x",
        "head",
    ]
    layers = tuple(facts.layers[0].model_copy(update={"name": name}) for name in names)
    shown = short_names(facts.model_copy(update={"layers": layers}))
    assert list(shown.values()) == ["stem.conv", "a.conv_of_man…", "depthw…nv2d_12", "depthw…_conv2d", "head"]
    same = tuple(facts.layers[0].model_copy(update={"name": name}) for name in ("a", "a.b", "a.b.c", ".", ""))
    assert all(name.endswith(short) for name, short in short_names(facts.model_copy(update={"layers": same})).items())


def judged(facts: Facts, correct: list[int], **more: object) -> Facts:
    """With answers to labelled inputs."""
    values = {"inputs": HOSTILE, "digest": "0", "count": len(correct), "auc": None, "target": 0.5} | more
    known = Judged(accuracy=accuracy(np.array(correct, bool)), **values)  # type: ignore[arg-type]
    return facts.model_copy(update={"judged": known})


def test_accuracy_is_told_everywhere(facts: Facts) -> None:
    found = judged(alone(facts), [1, 1, 1, 0])
    text = " ".join(str(Report(found)).split())
    assert "accuracy 75.00 % (3 of 4; 30.1 to 95.4 with 95 % confidence), by C on the host, of <script>" in text
    assert text.count("; quality target 50 %: reached") == 1 and Report(found).accuracy == 0.75
    assert "50 %: missed" in str(Report(judged(alone(facts), [0, 1, 0, 0])))
    assert "<script>" not in page(found) and "accuracy 75.00 % (3 of 4" in page(found)
    area = auc(np.array([0, 2], np.float32), np.array([1, 3], np.float32))
    assert found.judged is not None
    detector = found.judged.model_copy(update={"accuracy": None, "auc": area})
    told = " ".join(str(Report(found.model_copy(update={"judged": detector}))).split())
    assert "area under the ROC curve 0.7500 (" in told and "target 0.50: reached" in told


def test_changes_say_which_answers_changed(facts: Facts) -> None:
    base, head = judged(facts, [1, 1, 0, 0]), judged(facts, [1, 0, 1, 1])
    told = changes.changes(base, head)
    assert "accuracy 75.00 %" in told and "<script>" not in told
    assert "The base had 50.00 %: 2 inputs are right now that were wrong, 1 wrong that were right" in told
    assert "The base was judged by other inputs" in changes.changes(judged(facts, [1, 1, 0, 0], digest="1"), head)
    assert "The base had" not in changes.changes(facts, head)
