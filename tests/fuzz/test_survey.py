# SPDX-License-Identifier: Apache-2.0
"""The survey of kernels (benchmarks/speed): what it measures, finds, compares and refuses."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from benchmarks.speed.points import EDGES, survey
from benchmarks.speed.survey import FEW_CYCLES, LIMIT, Measured, judge, main

LAYERS = [
    Measured("conv2d int8 -> int8", f"{size}x8x16", (size, 8, 16), (size, 8, 16), 16, size * 2048, size * 2048 * 3)
    for size in range(1, 21)
]
"""Three cycles per product each."""


def test_a_planted_cliff_is_the_only_one_found() -> None:
    assert not any(one.is_cliff for one in judge(LAYERS))
    slow = replace(LAYERS[7], cycles=LAYERS[7].cycles * 3)
    judged = judge([*LAYERS[:7], slow, *LAYERS[8:]])
    assert [one.layer for one in judged if one.is_cliff] == [slow]
    assert judged[0].layer == slow and judged[0].times == 3


def test_a_layer_is_held_beside_those_of_as_many_products_per_output() -> None:
    """Of two kernels, the one with many products being twice as fast; neither is slow among its own."""
    many = [replace(layer, taps=160, macs=10 * layer.macs, cycles=4 * layer.cycles) for layer in LAYERS]
    assert {round(one.times, 6) for one in judge([*LAYERS, *many])} == {1}


def test_windows_that_read_more_values_may_cost_as_much_more() -> None:
    pools = [replace(layer, macs=0, taps=taps, cycles=taps * layer.cycles) for layer in LAYERS for taps in (4, 9)]
    assert {round(one.times, 6) for one in judge(pools)} == {1}
    slow = replace(pools[5], cycles=3 * pools[5].cycles)
    assert [one.layer for one in judge([*pools, slow]) if one.is_cliff] == [slow]


def test_a_few_values_may_cost_more() -> None:
    tiny = replace(LAYERS[0], made=(1, 1, 4), macs=64, cycles=FEW_CYCLES - 1)
    worst = judge([*LAYERS, tiny])[0]
    assert worst.layer == tiny and worst.times > LIMIT and worst.reason and not worst.is_cliff


def test_more_points_begin_with_the_same() -> None:
    few, more = ([point.text for point in survey({"max_pool"}, count)] for count in (2, 4))
    assert set(few) < set(more) and len(more) == len(set(more)) + len(few) - len(set(few))


def test_edges_of_networks_are_among_the_points() -> None:
    found = [point.text for point in survey({"depthwise_conv2d"}, 0) if "int8" in point.operator]
    assert len(found) == len(set(found)) >= len(EDGES["depthwise_conv2d"]) - 4  # SAME of stride 1 is symmetric
    assert "24x1x128 10x1/1x1 pad 4,0,5,0 -> 24x1x128" in found


def test_layers_are_measured_written_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against a survey in which every layer took a thousand cycles."""
    points, before, file = survey({"pixels"}, 8), tmp_path / "before.json", tmp_path / "now.json"
    shapes = ((1, 1, 1), (1, 1, 1))
    layers = [Measured(point.operator, point.text, *shapes, 1, 0, 1000) for point in points]
    before.write_text(json.dumps({"board": "a board", "toolchain": "gcc", "layers": list(map(vars, layers))}))
    assert main(["pixels", "--points", "8", "--output", str(file), "--against", str(before)]) in (0, 1)
    whole = json.loads(file.read_text())
    assert (whole["board"], whole["toolchain"]) == ("nucleo_l476rg", "zig")
    assert [layer["text"] for layer in whole["layers"]] == [point.text for point in points]
    cycles = sorted(layer["cycles"] / 1000 for layer in whole["layers"])
    assert 0 < cycles[0] < cycles[-1]
    said = capsys.readouterr().out
    (row,) = (
        line.split("|") for line in said.splitlines() if line.startswith(f"| pixels uint8 -> int8 | {len(points)} ")
    )
    assert [cell.strip() for cell in row[3:6]] == [f"{ratio:.3f}" for ratio in (cycles[0], median(cycles), cycles[-1])]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["depthwise_conv"], "survey: there is no operator 'depthwise_conv'; nearest is 'depthwise_conv2d'\n"),
        (["add", "--against", "no.json"], "survey: --against no.json: this is no output of a survey (FileNotFoundError)\n"),
        (["add", "--output", "no/a.json"], "survey: --output no/a.json: there is no folder no\n"),
        (["add", "--points", "-1"], "survey: --points -1: give a number from 0 on\n"),
        (["add", "--board", "nucleo_l476"], "survey: no board 'nucleo_l476'; nearest is 'nucleo_l476rg' "
         "(kilobench list boards shows all)\n"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_in_a_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == line
