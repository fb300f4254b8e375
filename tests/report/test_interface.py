# SPDX-License-Identifier: Apache-2.0
"""``kilobench.measure`` and ``kilobench.records``."""

import subprocess
import sys
from pathlib import Path

import pytest

import kilobench
from kilobench.contracts import UserError
from kilobench.results.store import Store
from tests.report.subjects import graph_file, small
from tests.results.records import record


def test_a_report_has_tables(tmp_path: Path) -> None:
    report = kilobench.measure(graph_file(tmp_path, small()), boards=["nucleo_l476rg", "raspberry_pi_pico"])
    layers, boards = report.layers, report.boards
    assert list(boards["board"]) == ["nucleo_l476rg", "raspberry_pi_pico"] and list(boards["fits"]) == [True, True]
    assert list(layers.groupby("board")["share"].sum().round(9)) == [1, 1]
    assert len(layers) == 2 * len(small().ops)
    first = boards.iloc[0]
    assert (report.flash_bytes, report.ram_bytes, report.cycles) == (first.flash_bytes, first.ram_bytes, first.cycles)
    assert report.latency_ms == first.latency_ms == 1000 * first.cycles_flash / 80e6 and report.fits
    assert first.cycles_flash > first.cycles
    assert report.expected_ms is not None and report.expected_ms[0] < report.latency_ms < report.expected_ms[1]
    assert tuple(report.boards["expected_ms"][0]) == report.expected_ms
    report.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    import torch

    for model, told in (
        (7, "a model is the path of a file or a module of torch, not int"),
        (torch.nn.Linear(2, 2), "a module of torch needs input_shape"),
        (tmp_path / "none.onnx", "is no file"),
    ):
        with pytest.raises(UserError, match=told):
            kilobench.measure(model)
    with pytest.raises(UserError, match="nearest is 'teensy_4"):
        kilobench.measure(tmp_path, boards="teensy_4")


def test_records_are_a_table(tmp_path: Path) -> None:
    for recipe in ("int8", "xnor"):
        Store(tmp_path / "records").write(record(recipe))
    table = kilobench.records(tmp_path / "records")
    assert list(table["recipe"]) == ["int8", "xnor"] and table["accuracy.mean"].between(0, 1).all()
    assert table["flash.weights"].equals(table["flash.weights"].astype(int)) and isinstance(table["layers"][0], tuple)
    with pytest.raises(UserError, match="holds no records"):
        kilobench.records(tmp_path / "none")


def test_importing_it_is_instant_and_measuring_needs_no_torch(tmp_path: Path) -> None:
    path = graph_file(tmp_path, small())
    code = (
        "import sys, kilobench\n"
        "assert not {'numpy', 'rich', 'pydantic', 'pandas'} & set(sys.modules)\n"
        f"print(kilobench.measure({str(path)!r}, ['nucleo_l476rg']))\n"
        "assert not {'torch', 'pandas', 'onnx', 'sklearn'} & set(sys.modules), 'heavy'\n"
        "try: kilobench.nothing\nexcept AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Mcycles" in done.stdout and "has no attribute 'nothing'" in done.stdout
