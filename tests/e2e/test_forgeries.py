# SPDX-License-Identifier: Apache-2.0
"""Whoever lies to ``kilobench submit``: refused, or believed no further than was made again (docs/trust.md)."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kilobench.cli import main
from kilobench.contracts import Task, UserError, silent
from kilobench.measuring import recording
from kilobench.measuring.evaluate import Reference, load_model_file, save_model_file
from kilobench.plugins.registry import Registry, load_registry
from kilobench.record import ModelFacts, Record, accuracy
from kilobench.results import verify
from kilobench.results.check import problems
from kilobench.results.packed import MODEL_BYTES
from kilobench.results.store import Store
from kilobench.results.submit import Submission
from kilobench.results.table import rows_of
from kilobench.results.verify import Verifier
from tests.e2e.submissions import Values, all_right, lie, model_of, only, submission

HEARD = '''
"""A data set that is published, and lies in a folder or not."""
import numpy as np
from kilobench import data
from kilobench.api import Source, Split, Task

class Heard(Task):
    """Noise of ten classes."""

    name = "heard"
    kind = "audio"
    network = "resnet8[width=8]"
    folds = 1
    sample_rate = 8000
    source = Source(folder="heard", marks=("noise",), licence="none", bytes=1000, page="nowhere")
    class_count = 10
    input_shape = (1, 8, 8)

    def load(self, fold, cache, progress):
        data.fetched(self.source, cache, progress)
        made = np.random.default_rng(0)
        x, y = made.uniform(-1, 1, (300, 1, 8, 8)).astype(np.float32), np.arange(300) % 10
        return Split(x[:200], y[:200], x[200:], y[200:], tuple("abcdefghij"), "5" * 64)
'''
HALVED = dict.fromkeys(("cycles", "cycles_low", "cycles_high"), 200_000)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def honest(cache: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    task: Task = registry.get("tasks", "digits")
    return submission(tmp_path_factory.mktemp("honest"), registry, task.load(0, cache / "data", silent))


@pytest.fixture
def forged(honest: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "forged"))


@pytest.fixture
def board(honest: Path, tmp_path: Path) -> Path:
    """A leaderboard that has the honest record, as verified."""
    folder = tmp_path / "board"
    assert main(["submit", str(honest), "--output", str(folder)]) == 0
    return folder


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def submitted(source: Path, board: Path, *options: str) -> tuple[int, str]:
        capsys.readouterr()
        own = [option for option in options if option in ("--check", "--whole")]
        before = [option for option in options if option not in own]
        code = main([*before, "submit", str(source), "--output", str(board), *own])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return submitted


Said = Callable[..., tuple[int, str]]


def the_record(board: Path) -> Record:
    (record,) = Store(board / "records").read_all()
    return record


def without_model(results: Path, **changes: object) -> None:
    """What is said to be too large for a model to be published."""
    shutil.rmtree(results / "models")
    _, values = only(results)
    flash = values["flash"] | {"weights": MODEL_BYTES}
    over = sum(flash.values()) - values["board_flash_bytes"]
    too_large = {"flash": flash, "flash_bytes": sum(flash.values()), "over_flash_bytes": over, "fits": False}
    lie(results, {**too_large, "model_digest": "a" * 64, **changes})


def on_a_real_board(values: Values) -> Values:
    command = values["command"].replace("--board nucleo_l476rg", "--board nucleo_l476rg") + " --on serial"
    told = {"link": "serial", "timing": "measured dwt", "conditions": {"counter": "dwt"}, "command": command}
    return told | {
        "cycles_flash": None,
        "cycles_expected": None,
        "layers": [layer | {"cycles_flash": None} for layer in values["layers"]],
    }


def test_a_published_row_is_not_overwritten_by_one_without_a_model(forged: Path, board: Path, said: Said) -> None:
    before = the_record(board)
    without_model(forged, cell="f" * 32, **all_right(only(forged)[1]))
    code, text = said(forged, board)
    assert code == 2 and "than the published record of this cell, and claimed alone" in text
    assert the_record(board) == before


def test_a_published_row_that_holds_is_not_replaced(
    board: Path, cache: Path, registry: Registry, said: Said, tmp_path: Path
) -> None:
    """By another model of the same cell either, good as it may be."""
    before = the_record(board)
    split = registry.get("tasks", "digits").load(0, cache / "data", silent)
    other = submission(tmp_path / "other", registry, split, made_by="ternary")
    code, text = said(other, board)
    assert code == 2 and "which holds: measured again, predicted again" in text
    assert the_record(board) == before


def test_a_published_row_that_does_not_hold_is_replaced(honest: Path, board: Path, said: Said) -> None:
    right = the_record(board)
    lie(board, HALVED | {"trust": "verified"})
    assert said(honest, board)[0] == 0
    assert the_record(board) == right


def test_a_claim_is_shown_and_not_ranked(forged: Path, board: Path, said: Said) -> None:
    """A real board's figures, and those of a model that is too large to be published."""
    values = only(forged)[1]
    without_model(forged, **on_a_real_board(values), **all_right(values))
    assert said(forged, board)[0] == 0
    rows = {row["link"]: row for row in rows_of(Store(board / "records").read_all())}
    assert {link: row["trust"] for link, row in rows.items()} == {"emulator": "verified", "serial": "claimed"}
    assert rows["emulator"]["place"] and rows["serial"]["place"] is None
    assert rows["serial"]["unequal"] == "claimed: not measured again"


def test_a_model_that_is_said_to_be_too_large_is_a_claim(forged: Path, tmp_path: Path, said: Said) -> None:
    without_model(forged, trust="verified", **all_right(only(forged)[1]))
    assert said(forged, tmp_path / "new")[0] == 0
    assert the_record(tmp_path / "new").trust == "claimed"


def test_a_claim_hides_no_other_row(honest: Path) -> None:
    record = the_record(honest).model_copy(update={"trust": "verified"})
    claim = record.model_copy(update={"trust": "claimed", "seed": 1})
    rows = rows_of([record, claim])
    assert sorted((row["trust"], row["place"] is not None) for row in rows) == [("claimed", False), ("verified", True)]


def heard(folder: Path, tasks: Path, *, correct: np.ndarray | None) -> tuple[Path, Registry]:
    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks" / "heard.py").write_text(HEARD)
    registry = load_registry([str(folder)])
    task: Task = registry.get("tasks", "heard")
    return submission(folder / "made", registry, task.load(0, tasks, silent), "heard", correct=correct), registry


def test_accuracy_without_the_data_is_as_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    (tmp_path / "data" / "heard").mkdir(parents=True)
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path / "data"))
    results, _ = heard(tmp_path / "plug", tmp_path / "none", correct=np.ones(100, dtype=bool))
    plugins = "--plugins", str(tmp_path / "plug")
    code, text = said(results, tmp_path / "board", *plugins)
    assert code == 2 and "predicted again, other test samples are right" in text
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path / "elsewhere"))
    code, text = said(results, tmp_path / "board", *plugins)
    assert code == 0 and "measured again, not predicted again: heard has no download" in text
    assert the_record(tmp_path / "board").trust == "re-measured"
    wrong = {"partial": "partial: the data lacks 0 inputs", "transcoded": "transcoded: 0 inputs of the data are"}
    for name, refused in wrong.items():
        lie(results, dict.fromkeys(wrong, 0) | {name: 1})
        monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path / "data"))
        code, text = said(results, tmp_path / name, *plugins)
        assert code == 2 and refused in text
        monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path / "elsewhere"))
        assert said(results, tmp_path / name, *plugins)[0] == 0
        assert the_record(tmp_path / name).trust == "claimed"


def test_whoever_has_the_data_as_published_cannot_tell_of_a_transcoded_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    (tmp_path / "data" / "heard").mkdir(parents=True)
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path / "data"))
    results, _ = heard(tmp_path / "plug", tmp_path / "none", correct=np.ones(100, dtype=bool))
    lie(results, {"transcoded": 100, "data_digest": "6" * 64})
    code, text = said(results, tmp_path / "board", "--plugins", str(tmp_path / "plug"))
    assert code == 0 and "of the data here 0 inputs are transcoded, of the record's 100" in text
    assert the_record(tmp_path / "board").trust == "claimed"


def test_test_data_of_ones_own_is_none(forged: Path, board: Path, registry: Registry, said: Said) -> None:
    lie(forged, {"partial": 1, **all_right(only(forged)[1])})
    assert "partial: the data of digits is never so" in problems(the_record(forged), registry)
    lie(forged, {"partial": 0, "data_digest": "6" * 64})
    code, text = said(forged, board)
    assert code == 2 and "data_digest: that of this task and fold is" in text


def test_another_recipe_is_tested_on_the_same_data(
    board: Path, cache: Path, registry: Registry, said: Said, tmp_path: Path
) -> None:
    split = registry.get("tasks", "digits").load(0, cache / "data", silent)
    other = submission(tmp_path / "other", registry, split, recipe="ternary")
    lie(other, {"data_digest": "6" * 64})
    code, text = said(other, board)
    assert code == 2 and "data_digest: that of this task and fold is" in text


@pytest.mark.parametrize(
    ("recipe", "made_by", "reason"),
    [
        ("full", "int8", "full makes dequantise uint8 -> float32 8x8x1"),
        ("xnor", "int8", "operator 2 of its model is conv2d int8 -> int8 8x8x8; xnor makes"),
        ("int8", "xnor", "int8 makes conv2d int8"),
        ("prune+int8", "int8", "weights; prune+int8 keeps"),
        ("int8", "prune[keep=0.5]+int8", "int8 makes conv2d int8 -> int8 4x4x16"),
    ],
)
def test_a_graph_must_be_what_its_recipe_makes(
    recipe: str, made_by: str, reason: str, cache: Path, registry: Registry, tmp_path: Path, said: Said
) -> None:
    split = registry.get("tasks", "digits").load(0, cache / "data", silent)
    results = submission(tmp_path / "made", registry, split, recipe=recipe, made_by=made_by)
    code, text = said(results, tmp_path / "board")
    assert code == 2 and reason in text, text


@pytest.mark.parametrize("recipe", ["full", "int8", "prune[keep=0.5]", "xnor", "qat", "ternary", "xnor[layout=study]"])
def test_a_graph_that_its_recipe_makes_is_recognised(
    recipe: str, cache: Path, registry: Registry, tmp_path: Path
) -> None:
    split = registry.get("tasks", "digits").load(0, cache / "data", silent)
    results = submission(tmp_path / "made", registry, split, recipe=recipe)
    assert Verifier(Store(results / "records"), registry).verify(the_record(results)).trust == "verified"


def test_a_network_for_a_budget_is_as_large_as_that_allows(
    cache: Path, registry: Registry, tmp_path: Path, said: Said
) -> None:
    """No width is chosen for its accuracy, and there are no two of them."""
    split = registry.get("tasks", "digits").load(0, cache / "data", silent)
    budget = "flash=32KiB,board=nucleo_l476rg"
    results = submission(tmp_path / "made", registry, split, width=4, budget=budget)
    code, text = said(results, tmp_path / "board")
    assert code == 2 and "size: width=4 takes" in text and "; the budget allows width=7.1" in text
    other = submission(tmp_path / "other", registry, split, width=3.2, budget=budget)
    shutil.copytree(other, results, dirs_exist_ok=True)
    code, text = said(results, tmp_path / "board")
    assert code == 2 and text.count("there are several records of its cell") == 2


def counted_otherwise(results: Path) -> None:
    lie(results, {"macs": {"fp32": 0, "int8": 500_000, "binary": 0}})


def of_fewer_inputs(results: Path) -> None:
    file = model_of(results)
    model = load_model_file(file)
    one = Reference(model.reference.inputs[:1], model.reference.outputs[:1], model.reference.checksums[:1])
    save_model_file(file, model.graph, one, model.about)


def with_a_smaller_arena(results: Path) -> None:
    file = model_of(results)
    model = load_model_file(file)
    save_model_file(file, model.graph, model.reference, model.about.model_copy(update={"arena_lower_bound": 1}))


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (counted_otherwise, "macs: its model has"),
        (of_fewer_inputs, "its model file holds other outputs than its graph gives"),
        (with_a_smaller_arena, "ram.arena_lower_bound: its model has"),
        (lambda results: lie(results, {"energy_uj": 1e-6}), "energy_uj: an emulated board takes none"),
        (lambda results: lie(results, {"cell": "f" * 32}), "measured again, cell is"),
        (lambda results: lie(results, {"timing": "measured dwt"}), "timing: measured dwt is to be emulated cortex-m4"),
        (lambda results: lie(results, {"toolchain": "mine 1"}), "toolchain: 'mine 1' is none of zig and gcc"),
        (
            lambda results: lie(results, {"seed": 7, "command": only(results)[1]["command"].replace("seed 0", "seed 7")}),
            "seed: a chosen seed tells nothing; the results of seed 0 are missing",
        ),
    ],
)  # fmt: skip
def test_what_is_counted_and_chosen_is_checked(
    forge: Callable[[Path], object], reason: str, forged: Path, tmp_path: Path, said: Said
) -> None:
    forge(forged)
    code, text = said(forged, tmp_path / "board")
    assert code == 2 and reason in text, text


def test_int16_inputs_are_no_lie(forged: Path, registry: Registry) -> None:
    record = the_record(forged).model_copy(update={"macs": {"int16": 40_000, "int8": 400_000}})
    assert problems(record, registry) == []


def test_one_model_has_one_accuracy(forged: Path, board: Path, said: Said) -> None:
    """On another board as well: else its file would be replaced."""
    path, values = only(forged)
    path.unlink()
    record = values | {"board": "raspberry_pi_pico", **all_right(values)}
    record["command"] = record["command"].replace("nucleo_l476rg", "raspberry_pi_pico")
    Store(forged / "records").write(Record.model_validate(record))
    code, text = said(forged, board)
    assert code == 2 and "its model has another accuracy in kilobench run" in text


def dropped(results: Path) -> None:
    only(results)[0].unlink()
    _, values = only(results.parent / "board")
    other = Record.model_validate(values | {"recipe": "full"})
    Store(results / "records").write(other)


def model_changed(results: Path) -> None:
    model_of(results).write_bytes(b"")


def model_cut(results: Path) -> None:
    (path,) = (results / "models").iterdir()
    path.write_bytes(path.read_bytes()[:-9])


def model_beside(results: Path) -> None:
    """In the other form, which would be used instead."""
    (path,) = (results / "models").iterdir()
    path.with_suffix("").write_bytes(b"another")


def model_missing(results: Path) -> None:
    model_of(results).unlink()


def model_linked(results: Path) -> None:
    path = model_of(results)
    path.unlink()
    path.symlink_to("/dev/zero")


def too_large(results: Path) -> None:
    (results / "too-large").mkdir()
    (results / "too-large" / "digits-resnet8-xnor.json").write_text("{}")


def twice_a_key(results: Path) -> None:
    path, _ = only(results)
    path.write_text(path.read_text().replace('"cycles":', '"cycles": 1,\n "cycles":'))


def overstated(results: Path) -> None:
    without_model(results, trust="verified", **on_a_real_board(only(results)[1]))


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (dropped, "it is published, and is missing"),
        (model_changed, "it is published with another content"),
        (model_cut, "it is published with another content"),
        (model_beside, "it is published with another content"),
        (model_linked, "it is published with another content"),
        (model_missing, "it is published, and is missing"),
        (too_large, "what no size fits, or no method suits, is found by a maintainer's run"),
        (twice_a_key, "differs in nothing that was measured"),
        (overstated, "trust: it says verified, and is found claimed"),
    ],
)
def test_a_leaderboard_is_checked_as_a_whole(
    forge: Callable[[Path], object], reason: str, board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a pull request has it: what is lost, or written by hand."""
    request = Path(shutil.copytree(board, tmp_path / "request"))
    arguments = ["submit", str(request), "--output", str(board), "--whole"]
    assert main(arguments) == 0
    forge(request)
    assert main(arguments) == 2
    assert reason in capsys.readouterr().out


def test_nothing_is_read_that_is_no_file(forged: Path, tmp_path: Path, said: Said) -> None:
    path, _ = only(forged)
    (path.parent / "endless.json").symlink_to("/dev/zero")
    for how in ("--check", "--whole"):
        code, text = said(forged, tmp_path / "board", how)
        assert code == 2 and "endless.json is no plain file" in text


def test_names_of_files_are_no_markup() -> None:
    report = Submission(refused=["a<img src=x>|`\x1b[2J @everyone\n# b.json: no"]).report
    assert "\x1b" not in report and report.count("\n") == 2
    assert "\\<img src=x>\\|\\`" in report and " \\@everyone" in report


@pytest.mark.parametrize("letter", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x85", "\x07"])
def test_texts_have_no_letters_that_nobody_sees(letter: str, honest: Path) -> None:
    _, values = only(honest)
    with pytest.raises(UserError, match="conditions"):
        store = Store(honest.parent / "records")
        path = honest.parent / "hidden.json"
        path.write_text(json.dumps(values | {"conditions": {"counter": f"dwt{letter}"}}))
        store.read(path)


def leaves(values: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(values, dict | list):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from leaves(value, (*path, key))
    else:
        yield path


def otherwise(value: Any) -> list[Any]:
    """Other values of the type."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1, 0, 2 * value]
    return ["", f"{value}x", value[::-1]] if isinstance(value, str) else [1]


def test_no_field_can_be_changed_alone_or_with_its_model(
    forged: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field, by all who find it: its schema, the checks of its words, its model, and measuring or predicting it again."""
    # The graph is always the same: it is built, run and evaluated once.
    for module, name in ((recording, "measured_on"), (verify, "evaluate"), (verify, "HostModel")):
        monkeypatch.setattr(module, name, first_of(getattr(module, name)))
    path, honest = only(forged)
    file = model_of(forged)
    honest_model = file.read_bytes()
    verifier = Verifier(Store(forged / "records"), registry)
    believed = []
    for leaf in leaves(honest):
        for value in otherwise(_at(honest, leaf)):
            if value == _at(honest, leaf):
                continue
            changed = json.loads(json.dumps(honest))
            _at(changed, leaf[:-1])[leaf[-1]] = value
            path.write_text(json.dumps(changed))
            file.write_bytes(honest_model)
            try:
                record = Store(forged / "records").read(path)
                if not problems(record, registry):
                    _agree(file, record)
                    verifier.verify(record)
                    believed.append(leaf[0])
            except UserError:
                pass
    assert set(believed) <= {"versions", "git_commit", "times"}
    assert {"versions", "git_commit"} <= set(believed)


def _at(values: Any, leaf: tuple[str | int, ...]) -> Any:
    for key in leaf:
        values = values[key]
    return values


def _agree(file: Path, record: Record) -> None:
    """Make the model's file say what the record says of the model."""
    model = load_model_file(file)
    facts = ModelFacts(**{name: getattr(record, name) for name in ModelFacts.model_fields})
    save_model_file(file, model.graph, model.reference, model.about.model_copy(update={"model": facts}))


def first_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What it returned at its first call, for all."""
    made: list[Any] = []

    def called(*arguments: Any, **options: Any) -> Any:
        if not made:
            made.append(function(*arguments, **options))
        return made[0]

    return called


def test_wrong_accuracy_of_every_kind(forged: Path, registry: Registry) -> None:
    """One sample more, other samples, and as many."""
    record = the_record(forged)
    bits = np.zeros(record.accuracy.total, dtype=bool)
    for right in (record.accuracy.correct, record.accuracy.correct + 1, record.accuracy.total):
        bits[:right] = True
        lie(forged, {"accuracy": accuracy(bits).model_dump()})
        with pytest.raises(UserError, match="predicted again, other test samples are right"):
            Verifier(Store(forged / "records"), registry).verify(the_record(forged))
