# SPDX-License-Identifier: Apache-2.0
"""Suites of model files: what they say, what is refused, and a run of one."""

import hashlib
from pathlib import Path

import pytest

from kilobench.cli import main
from kilobench.contracts import UserError
from kilobench.plugins.registry import load_registry
from kilobench.plugins.suites import ModelFile, ModelSuite
from kilobench.report.facts import read_facts
from kilobench.runs.suite import load_suite
from tests.compile.tflite_files import Value, single

MODEL = single("RELU", None, [Value("x", (1, 4, 4, 3), "float32")], Value("y", (1, 4, 4, 3), "float32"))
DIGEST = hashlib.sha256(MODEL).hexdigest()
GOOD = f"""title: mine
folder: their-models
models:
  small: {{file: a/small.tflite, sha256: {DIGEST}, benchmark: ic01}}
boards: [nucleo_l4r5zi]
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a suite, whose models are there."""
    (tmp_path / "data/their-models/a").mkdir(parents=True)
    (tmp_path / "data/their-models/a/small.tflite").write_bytes(MODEL)
    monkeypatch.setenv("KILOBENCH_DATA", str(tmp_path / "data"))
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    return path


def test_a_run_writes_a_report_for_every_model(suite: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main(["run", str(suite), "--output", str(output), "--dry-run"]) == 0
    assert not output.exists()
    assert main(["run", str(suite), "--output", str(output)]) == 0
    facts = read_facts(output / "mine" / "small.json")
    assert (facts.model, facts.rounding, facts.judged) == ("small.tflite", "once", None)
    assert [one.board for one in facts.boards] == ["nucleo_l4r5zi"] and facts.boards[0].cycles


def test_a_file_that_is_missing_or_another_is_named_before_anything_is_measured(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data/their-models/a/small.tflite"
    run = ["run", str(suite), "--output", str(tmp_path / "out")]

    def told() -> str:
        capsys.readouterr()
        assert main(run) == 2
        return capsys.readouterr().err

    path.write_bytes(MODEL + b"\0")
    other = hashlib.sha256(MODEL + b"\0").hexdigest()
    assert told() == f"kilobench: {path}: sha256 is {other}, not {DIGEST}: it is of another round, or was changed\n"
    path.unlink()
    assert told() == f"kilobench: {path}: No such file or directory\n"
    suite.write_text(GOOD.replace("benchmark: ic01", "benchmark: ic01, inputs: none"))
    path.write_bytes(MODEL)
    assert "their-models/none" in told()
    monkeypatch.delenv("KILOBENCH_DATA")
    assert told() == "kilobench: their-models is not here: KILOBENCH_DATA names the folder that holds it\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option", ["--effort=2", "--budget=64KiB", "--validation", "--network=resnet8", "--training=epochs=3"]
)
def test_options_of_training_are_refused(option: str, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(suite), option]) == 2
    assert f"trains nothing: {option.split('=')[0]} is for other suites" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"sha256: {DIGEST}, ", "", "models.small: key 'sha256' is missing"),
        (f"sha256: {DIGEST}", "sha256: abc", "models.small: sha256: 'abc' is not of 64 hexadecimal digits"),
        ("benchmark: ic01", "benchmark: ic1", "models.small: benchmark: MLPerf Tiny has no 'ic1'; nearest is 'ic01'"),
        ("benchmark: ic01", "rounding: up, benchmark: ic01", "models.small: rounding: 'up' is not 'once' or 'tflite'"),
        ("benchmark: ic01", "bench: ic01", "models.small: no key 'bench'; nearest is 'benchmark'"),
        ("  small: {", "  Small Model: {", "models: a name is of lower-case letters, digits and dashes"),
        (
            GOOD[GOOD.index("  small") : GOOD.index("boards")],
            "  small: x\n",
            "models.small: 'x' is no mapping, as {file: ...",
        ),
        (
            GOOD[GOOD.index("models:") : GOOD.index("boards")],
            "models: [x]\n",
            "models: ('x',) is no mapping of names to files",
        ),
        ("nucleo_l4r5zi", "nucleo_l4r5z", "no board 'nucleo_l4r5z'; nearest is 'nucleo_l4r5zi'"),
        ("[nucleo_l4r5zi]", "[]", "boards: the list is empty"),
        ("folder: their-models\n", "", "key 'folder' is missing"),
        ("title: mine", "title: mine\nseeds: [1]", "no key 'seeds'"),
    ],
)
def test_mistakes_in_suites_of_models_name_file_and_key(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as raised:
        load_suite(path, load_registry([], ()))
    assert str(raised.value).startswith(f"{path}: {message}")


def test_the_suite_of_the_project_names_what_there_is() -> None:
    registry = load_registry([], ())
    suite = load_suite(registry.find("suites", "mlperf-tiny").path, registry)
    assert isinstance(suite, ModelSuite) and isinstance(suite.models["ic01"], ModelFile)
    for name, model in suite.models.items():  # the page shows the report of a benchmark's own name on every board
        assert name in (model.benchmark, f"{model.benchmark}-{model.rounding}")
    assert {name.partition("-")[0] for name in suite.models} <= {*suite.models}
