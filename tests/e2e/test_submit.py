# SPDX-License-Identifier: Apache-2.0
"""Submitting results: good ones are taken, tampered ones are refused, each for its reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kilobench.cli import main
from kilobench.contracts import Task, silent
from kilobench.measuring.evaluate import load_model_file, save_model_file
from kilobench.plugins.registry import load_registry
from kilobench.record import Record, accuracy, correctness
from kilobench.results.check import problems
from kilobench.results.store import Store
from kilobench.results.submit import MOST_RECORDS
from tests.e2e.submissions import Values, model_of, only, submission

REGISTRY = load_registry()


@pytest.fixture(scope="module")
def made(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One record of an untrained network, and its model file."""
    task: Task = REGISTRY.get("tasks", "digits")
    return submission(tmp_path_factory.mktemp("made"), REGISTRY, task.load(0, cache / "data", silent))


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "results"))


def submit(results: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    code = main(["submit", str(results), "--output", str(results.parent / "board"), *options])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_good_results_are_put_into_place_once(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = only(results)
    board = results.parent / "board"
    code, text = submit(results, capsys, "--check")
    assert code == 0 and "1 new" in text and "measured again, predicted again" in text
    assert not board.exists()
    code, text = submit(results, capsys, "--report", str(results.parent / "report.md"))
    assert code == 0 and (results.parent / "report.md").read_text().startswith("**Records**: 1 new, 0 changed")
    taken = json.loads((board / path.relative_to(results)).read_text())
    assert taken == json.loads(path.read_text()) | {"trust": "verified"}
    assert [p.name for p in (board / "models").iterdir()] == [p.name for p in (results / "models").iterdir()]
    code, text = submit(results, capsys)
    assert code == 0 and "0 new, 0 changed, 1 unchanged" in text


def changed(*keys: str, to: object) -> Callable[[Values], None]:
    def change(values: Values) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = to

    return change


def better(values: Values) -> None:
    """The bitmap as well."""
    bits = correctness(Record.model_validate(values).accuracy)
    values["accuracy"] = accuracy(np.ones_like(bits)).model_dump()


def faster(values: Values) -> None:
    for key in ("cycles", "cycles_low", "cycles_high"):
        values[key] -= 1


def smaller(values: Values) -> None:
    values["flash_bytes"] -= 1000
    values["flash"]["runtime"] -= 1000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed("accuracy", "mean", to=0.99), "accuracy"),
        (changed("effort", to=None), "effort: it states none"),
        (changed("effort", to=5.2), "command: its --effort is 2.6, the record's 5.2"),
        (changed("steps", to={"train": 842, "int8": 80}), "steps: they are not shared"),
        (changed("steps", to={"train": 842}), "steps: they are not shared"),
        (changed("steps", to={"train": 421, "int8": 0}), "steps: not that of its model"),
        (changed("contributions", "kernels", to=9), "contributions: other versions than those here"),
        (changed("budget", to="flash=64KiB,board=nucleo_l476rg"), "size: it is what was found for a budget"),
        (changed("budget", to="flash=1KiB,board=nucleo_l476rg"), "budget: exceeded, flash"),
        (changed("flash_bytes", to=1000), "flash_bytes is not the sum of its parts"),
        (changed("ram_bytes", to=1000), "ram_bytes is not the sum of its parts"),
        (changed("over_flash_bytes", to=7), "over_flash_bytes is not what"),
        (changed("fits", to=False), "fits does not agree"),
        (changed("parameters", to=10**9), "cannot hold 1000000000 parameters"),
        (changed("cycles", to=10), "cycles does not lie between"),
        (lambda v: v.update(cycles=10, cycles_low=10, cycles_high=10), "cycles: 10 for"),
        (changed("cycles_flash", to=10), "cycles_flash: 10 are less than the cycles"),
        (lambda v: v.update(cycles_flash=None, cycles_expected=None), "measured again, cycles_flash is"),
        (changed("cycles_flash", to=None), "cycles_expected is of emulated boards whose cycles_flash is known"),
        (changed("cycles_expected", to=[1, 2]), "cycles do not lie between 1 and 2"),
        (changed("layers", 0, "cycles_flash", to=1), "layers: one has no cycles_flash, or less than its cycles"),
        (changed("layers", 0, "cycles_flash", to=None), "layers: one has no cycles_flash, or less than its cycles"),
        (changed("layers", to=[]), "layers: they take 0 cycles together"),
        (changed("macs", to={"int4": 1}), "macs: no kind 'int4'"),
        (changed("board", to="nucleo_l476"), "no board 'nucleo_l476'; nearest is 'nucleo_l476rg'"),
        (changed("board_flash_bytes", to=1 << 22), "nucleo_l476rg has 1048576 bytes of flash"),
        (changed("clock_hz", to=800_000_000), "clock_hz 800000000 is not the board's"),
        (changed("classes", to=11), "digits has 10 classes"),
        (changed("recipe", to="int9"), "no method 'int9'; nearest is 'int8'"),
        (changed("network", to="resnet8[width=08]"), "resnet8[width=08] is to be written resnet8[width=8]"),
        (changed("fold", to=3), "digits has no fold 3"),
        (changed("seed", to=1), "command: its --seed is 0, the record's 1"),
        (changed("training", "epochs", to=999), "training is not the task's own"),
        (changed("model_digest", to="0"), "model_digest and cell must be"),
        (changed("times", "created", to="2999-01-01T00:00:00+00:00"), "is no time of the past"),
        (changed("times", "created", to="yesterday"), "times.created"),
        (changed("times", "created", to="2026-13-01T00:00:00Z"), "is no time of the past"),
        (changed("accuracy", "low", to=0.0), "accuracy: its bitmap gives"),
        (changed("verified_inputs", to=0), "verified_inputs"),
        (changed("unheard", to=0), "unheard"),
        (better, "accuracy: not that of its model"),
        (faster, "measured again, cycles is"),
        (smaller, "measured again, flash_bytes is"),
    ],
)
def test_tampered_records_are_refused(
    change: Callable[[Values], None], reason: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, values = only(results)
    change(values)
    path.write_text(json.dumps(values))
    code, text = submit(results, capsys)
    assert code == 2 and reason in text, text
    assert not (results.parent / "board").exists()


def test_a_model_with_made_up_accuracy_is_found_out(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, values = only(results)
    better(values)
    path.write_text(json.dumps(values))
    file = model_of(results)
    model = load_model_file(file)
    facts = model.about.model.model_copy(update={"accuracy": Record.model_validate(values).accuracy})
    save_model_file(file, model.graph, model.reference, model.about.model_copy(update={"model": facts}))
    code, text = submit(results, capsys)
    assert code == 2 and "predicted again, other test samples are right than its bitmap says" in text


def test_a_model_must_be_there_and_be_the_one(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = model_of(results)
    content = file.read_bytes()
    file.unlink()
    assert "its model is missing" in submit(results, capsys)[1]
    file.write_bytes(content[: len(content) // 2])
    code, text = submit(results, capsys)
    assert code == 2 and "cannot be read as a graph" in text


def test_records_lie_where_they_belong(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = only(results)
    path.rename(path.with_name("mine.json"))
    code, text = submit(results, capsys)
    assert code == 2 and "it belongs into digits/resnet8-width=8/int8@nucleo_l476rg" in text


def test_published_results_do_not_change_silently(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(results, results.parent / "board")
    path, values = only(results)
    faster(values)
    path.write_text(json.dumps(values))
    code, text = submit(results, capsys)
    assert code == 2 and "measured again, cycles is" in text


def test_one_model_is_not_two_results(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, values = only(results)
    values |= {"seed": 1, "command": values["command"].replace("--seed 0", "--seed 1")}
    record = Record.model_validate(values)
    assert problems(record, REGISTRY) == []
    Store(results / "records").write(record)
    code, text = submit(results, capsys)
    assert code == 2 and "its model is that of kilobench run --task digits" in text


def test_more_than_anybody_measures_is_refused_unread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "many" / "records"
    folder.mkdir(parents=True)
    for number in range(MOST_RECORDS + 1):
        (folder / f"{number}.json").touch()
    code, text = submit(tmp_path / "many", capsys)
    assert code == 2 and "holds 10001 records; submit at most 10000 at a time" in text


def test_nothing_to_submit_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = submit(tmp_path / "none", capsys)
    assert code == 2 and "holds no records; kilobench run --output" in text


def test_a_published_model_is_measured_on_another_board(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = (results / "models").iterdir()
    assert main(["measure", str(file), "--board", "raspberry_pi_pico", "--output", str(results)]) == 0
    assert "record: " in capsys.readouterr().out
    first, second = Store(results / "records").read_all()
    assert (first.board, second.board) == ("nucleo_l476rg", "raspberry_pi_pico")
    assert first.accuracy == second.accuracy and second.cycles > first.cycles
    assert submit(results, capsys, "--check")[0] == 0
    assert main(["measure", str(file), "--board", "esp32_devkitc"]) == 2
    assert "cannot be emulated" in capsys.readouterr().err
    assert main(["measure", str(results / "none"), "--board", "nucleo_l476rg"]) == 2


def test_steps_that_the_data_does_not_give_are_found_out(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, values = only(results)
    model = model_of(results)
    stored = load_model_file(model)
    steps = {"train": 421, "int8": 0}
    about = stored.about.model_copy(update={"model": stored.about.model.model_copy(update={"steps": steps})})
    save_model_file(model, stored.graph, stored.reference, about)
    path.write_text(json.dumps(values | {"steps": steps}))
    code, text = submit(results, capsys)
    assert code == 2 and "steps: 421 in all, the data gives 842" in text
