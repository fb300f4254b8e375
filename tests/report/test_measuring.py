# SPDX-License-Identifier: Apache-2.0
"""A model file on boards."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kilobench.compile.counts import macs
from kilobench.compile.imports import LOADERS
from kilobench.contracts import CellError, UserError
from kilobench.device import elf
from kilobench.measuring.evaluate import EvaluatedModel
from kilobench.plugins.registry import load_registry
from kilobench.report.facts import content, read_facts
from kilobench.report.limits import exceeded, parse_limits
from kilobench.report.measuring import ENOUGH_INPUTS, Found, chosen
from kilobench.report.models import Subject, load_subject
from tests.compile.test_graphfile import about
from tests.report.subjects import graph_file, measured, measured_subject, small, two_outputs
from tests.untrained import emitted


@pytest.fixture(scope="module")
def found() -> Found:
    return measured(small(), "nucleo_l476rg", "raspberry_pi_pico")


def test_it_says_of_every_layer_what_it_is_and_takes(found: Found) -> None:
    graph, facts = small(), found.facts
    assert [layer.name for layer in facts.layers] == [op.name for op in graph.ops]
    assert sum(layer.macs for layer in facts.layers) == sum(macs(graph).values()) == sum(facts.macs.values())
    for board in facts.boards:
        assert board.cycles and abs(sum(board.layer_cycles) / board.cycles - 1) < 0.02
        assert 0 <= board.flash.weights - sum(layer.weight_bytes for layer in facts.layers) < 16 * 4 * len(graph.ops)
        assert board.flash_bytes == board.flash.weights + board.flash.runtime + board.flash.board_support
        assert board.ram_bytes == board.arena_bytes + board.static_bytes + board.stack_bytes
        assert board.arena_bytes >= facts.arena_bytes == max(moment.bytes for moment in facts.moments)
    assert [layer for moment in facts.moments for layer in moment.layers] == [op.name for op in graph.ops]
    assert facts.peak == max(facts.moments, key=lambda moment: moment.bytes).layers[-1]


def test_each_board_has_a_program_of_its_own(found: Found) -> None:
    fast, slow = found.facts.boards
    assert (fast.board, slow.board) == ("nucleo_l476rg", "raspberry_pi_pico") and fast.cycles < slow.cycles  # type: ignore[operator]
    for board, measurement in zip(found.facts.boards, found.measurements, strict=True):
        assert elf.sizes(measurement.program).flash_bytes == board.flash_bytes


def test_it_is_the_same_alone_and_from_the_cache(found: Found, cache: Path) -> None:
    for board in found.facts.boards:
        before = {path: path.stat().st_mtime_ns for path in (cache / "measured").iterdir()}
        assert measured(small(), board.board).facts.boards == (board,)
        assert {path: path.stat().st_mtime_ns for path in (cache / "measured").iterdir()} == before


def test_what_is_damaged_in_the_cache_is_measured_again(found: Found, cache: Path) -> None:
    for path in (*(cache / "measured").glob("*.json"), *(cache / "firmware").glob("*.elf")):
        path.write_bytes(path.read_bytes()[:-1])
    again = measured(small(), "nucleo_l476rg")
    assert again.facts.boards == found.facts.boards[:1]
    assert elf.sizes(again.measurements[0].program).flash_bytes == again.facts.boards[0].flash_bytes


def test_two_inputs_are_enough_where_cycles_depend_on_none(found: Found) -> None:
    assert [board.inputs for board in found.facts.boards] == [ENOUGH_INPUTS] * 2
    (soft,) = measured(two_outputs(), "raspberry_pi_pico").facts.boards
    assert soft.inputs == 8 and soft.cycles_low < soft.cycles < soft.cycles_high  # type: ignore[operator]


def test_several_outputs_of_any_shape() -> None:
    facts = measured(two_outputs()).facts
    assert facts.input == "float32 8x8x1" and facts.outputs == ("float32 8x8x4", "float32 1x1x3")


def test_a_published_model_is_held_to_what_it_says(tmp_path: Path) -> None:
    graph = small()
    stored = emitted(graph, tmp_path / "c", 3)
    model = EvaluatedModel(graph, stored, about(graph))
    assert measured_subject(Subject("m", "m", graph, published=model)).facts.boards[0].inputs == 3
    false = EvaluatedModel(graph, replace(stored, outputs=stored.outputs + np.int8(1)), model.about)
    with pytest.raises(CellError, match=r"^\w+: output: the board's output differs from host C"):
        measured_subject(Subject("m", "m", graph, published=false), "raspberry_pi_pico", "nucleo_l476rg")


def test_boards_are_chosen_by_name() -> None:
    registry = load_registry([], ())
    assert [board.name for board in chosen(registry, ["teensy_40", "nucleo_l476rg", "teensy_40"])] == [
        "teensy_40",
        "nucleo_l476rg",
    ]
    everything = chosen(registry, ["teensy_40", "all"])
    emulated = {name for name, entry in registry.entries["boards"].items() if entry.value.core.timing}  # type: ignore[union-attr]
    assert {board.name for board in everything} == emulated and len(everything) == len(emulated)
    for names, link, told in (
        (["nucleo_l476"], "emulator", "nearest is 'nucleo_l476rg'"),
        (["esp32_devkitc"], "emulator", "cannot be emulated"),
        (["all"], "serial", r"one board at a time; \d+ are named"),
    ):
        with pytest.raises(UserError, match=told):
            chosen(registry, names, link)


def test_a_report_comes_back_as_it_was(found: Found, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content(found.facts))
    assert read_facts(path) == found.facts
    for text, told in (
        ("", "is no report: the file"),
        ("{}", "is no report: model"),
        ('{"form": "another"}', "is no report: form"),
        (path.read_text().replace('"bytes"', '"bites"'), "is no report: moments.0.bytes"),
        (path.read_text().replace('"kind"', '"sort"'), "is no report: layers.0.kind"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=told):
            read_facts(path)


def test_limits(found: Found) -> None:
    fast, slow = found.facts.boards
    least = (
        f"flash={fast.flash_bytes}B,ram={max(fast.ram_bytes, slow.ram_bytes)}B,latency={fast.latency_ms + 0.001:.6f}ms"
    )
    lines = exceeded(found.facts, parse_limits(least))
    assert lines and all(line.startswith("raspberry_pi_pico: ") and "over the limit of" in line for line in lines)
    assert exceeded(found.facts, parse_limits("flash=1MiB,ram=1MiB,latency=1s")) == []
    assert [line.split()[1] for line in exceeded(found.facts, parse_limits("flash=1B,ram=1B,latency=1us"))] == [
        *["flash", "RAM", "latency"] * 2
    ]
    unknown = found.facts.model_copy(update={"boards": (fast.model_copy(update={"cycles": None}),)})
    assert exceeded(unknown, parse_limits("latency=1s")) == [
        "nucleo_l476rg: latency not run: too large, over the limit of 1000.00 ms"
    ]
    for text in ("", "speed=1", "flash=1KB", "flash=1KiB,flash=2KiB", "flash=1KiB,board=teensy_40"):
        with pytest.raises(UserError):
            parse_limits(text)


# What cannot be read


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    for name, told in (
        ("model", "ends in one of .tflite, .onnx, .pt2, .safetensors"),
        ("model.h5", "ends in one of"),
        ("none.tflite", "is no file"),
    ):
        (tmp_path / "model.h5").touch()
        with pytest.raises(UserError, match=told):
            load_subject(tmp_path / name)
    with pytest.raises(UserError, match="--rounding is for models of other tools"):
        load_subject(graph_file(tmp_path, small()), "tflite")


@pytest.mark.parametrize("ending", [*LOADERS, ".safetensors"])
def test_damaged_files_are_refused_in_a_line(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{ending}"
    whole = graph_file(tmp_path, small()).read_bytes()
    for damaged in (b"", b"\0" * 64, b"PK\3\4", whole[: len(whole) // 2], b"\xff" * 4096):
        path.write_bytes(damaged)
        with pytest.raises(UserError) as told:
            load_subject(path)
        assert "model" in str(told.value) and "\n" not in str(told.value)
