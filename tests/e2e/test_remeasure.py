# SPDX-License-Identifier: Apache-2.0
"""``kilobench remeasure``: after a change of kernels all records are of the new ones, without training."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from time import sleep

import pytest

from kilobench.cli import main
from kilobench.files import digest_path
from kilobench.plugins.registry import load_registry
from kilobench.results.costing import emulated_families
from kilobench.results.packed import unpacked
from kilobench.results.store import Store
from tests.e2e.submissions import Values, all_right, lie, only
from tests.e2e.test_interrupted import as_in_a_terminal

ROOT = Path(__file__).parents[2]
PUBLISHED = Store(ROOT / "leaderboard" / "records")
SLOWER = "{ static const volatile unsigned char more[4096] = {1}; (void)more[0];"
"""The beginning of a kernel that takes 4 KiB more, and some cycles."""


def published(folder: Path, recipes: Iterable[str], **changes: object) -> Store:
    """A leaderboard of a few published records of digits, each with ``changes``, and their models."""
    store = Store(folder / "records")
    for recipe in recipes:
        found = PUBLISHED.select(task="digits", recipe=recipe, board="nucleo_l476rg")
        record = next(one for one in found if one.effort == 2.6 and not one.training_changes)
        store.write(record.model_copy(update=changes))
        with unpacked(PUBLISHED.model_path(record)) as model:
            store.publish(record, model)
    return store


def files(store: Store) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.folder.parent.rglob("*") if path.is_file()}


def remeasure(store: Store, *options: str) -> int:
    return main(["remeasure", "--output", str(store.folder.parent), *options])


@pytest.fixture(scope="module")
def edited(project: Path) -> Path:
    """A copy of the project, one of whose kernels has changed."""
    kernel = project / "hardware" / "kernels" / "pixels_u8.c"
    kernel.write_text(kernel.read_text().replace("{", SLOWER, 1))
    return project


def test_a_change_of_kernels_is_found_and_mended(edited: Path, tmp_path: Path) -> None:
    (old,) = published(tmp_path / "board", ["int8"]).read_all()
    store = published(tmp_path / "board", ["full"], trust="claimed")
    (claimed,) = store.select(recipe="full")

    def run(*options: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "kilobench", "remeasure", "--output", "board", *options]
        environment = os.environ | {"PYTHONPATH": str(edited)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout

    code, told = run("--check")
    assert code == 1 and told.count("of other kernels, firmware or timing than today's: board/records/digits/") == 1
    assert told.startswith("1 records, 1 to make again, 1 claimed or of real boards and left alone\n")
    code, told = run("--workers", "1")
    assert code == 1 and "1 records made again, 0 of them with the flash, RAM and cycles that they had" in told
    (new,) = store.select(recipe="int8")
    assert new.cell != old.cell and new.flash_bytes >= old.flash_bytes + 4096 and new.trust == "verified"
    assert (new.accuracy, new.steps, new.command) == (old.accuracy, old.steps, old.command)
    assert (new.times.train_s, new.times.evaluate_s) == (old.times.train_s, old.times.evaluate_s)
    assert f"{new.flash_bytes - old.flash_bytes:+d}" in told
    over = f"over its budget by {new.flash_bytes - (32 << 10)} bytes of flash ({new.flash_bytes} of 32768): board/"
    assert over in told and f"remove it and train anew: {new.command}\n" in told
    assert store.select(recipe="full") == [claimed]
    there = files(store)
    code, told = run()
    assert code == 1 and told.startswith("1 records, 0 to make again") and over in told and files(store) == there


def test_an_interrupted_command_goes_on(tmp_path: Path) -> None:
    store = published(tmp_path / "board", ["int8", "prune+int8"], cell="0" * 32)
    before = files(store)

    def done() -> list[Path]:
        return [path for path, text in files(store).items() if path.suffix == ".json" and text != before[path]]

    command = [sys.executable, "-m", "kilobench", "remeasure", "--workers", "1", "--output", str(tmp_path / "board")]
    pipe = subprocess.PIPE
    how = {"text": True, "start_new_session": True, "preexec_fn": as_in_a_terminal, "stdout": pipe, "stderr": pipe}
    process = subprocess.Popen(command, **how)  # type: ignore[call-overload]
    try:
        while not done() and process.poll() is None:
            sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, problem = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert problem == "kilobench: interrupted; finished stages are kept, the same command goes on\n"
    assert process.returncode == 130
    kept = {path: path.read_bytes() for path in done()}
    assert len(kept) == 1
    assert remeasure(store, "--workers", "2") == 0
    assert len(done()) == 2 and not kept.items() - files(store).items()
    assert remeasure(store, "--check") == 0


def test_what_is_the_same_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = published(tmp_path / "board", ["int8"], cell="0" * 32, trust="re-measured")
    assert remeasure(store, "--workers", "0") == 0
    (record,) = store.read_all()
    assert record.trust == "verified" and record.cell != "0" * 32
    there = files(store)
    assert remeasure(store, "--workers", "0", "--again") == 0
    assert files(store) == there
    assert "1 records made again, 1 of them with the flash, RAM and cycles that they had" in capsys.readouterr().out


def test_costs_on_all_boards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Made where they are asked for; after that they are renewed like records, and go with their model."""
    store = published(tmp_path / "board", ["int8"])
    (record,) = store.read_all()
    assert remeasure(store, "--check") == 0
    assert remeasure(store, "--board", "all", "--workers", "0") == 0
    assert "costs on all boards: 1 to make" in capsys.readouterr().out
    (costs,) = store.read_costs()
    assert costs.model_digest == record.model_digest and len(costs.cores) == len(emulated_families(load_registry()))
    there = files(store)
    assert remeasure(store, "--board", "all", "--check") == 0 and remeasure(store) == 0 and files(store) == there

    first, *others = costs.cores
    store.write_costs(costs.model_copy(update={"cores": (first.model_copy(update={"key": "0" * 32}), *others)}))
    assert remeasure(store, "--check") == 1
    assert f"of other code than today's, or not there: {store.costs_path(record)}" in capsys.readouterr().out
    assert remeasure(store, "--workers", "1") == 0 and files(store) == there

    model, content = store.model_path(record), store.model_path(record).read_bytes()
    model.write_bytes(content[:100])
    assert remeasure(store, "--check") == 1 and remeasure(store) == 1
    assert f"failed: digits int8 {record.budget} on all boards: {model}" in capsys.readouterr().out
    model.write_bytes(content)

    store.path(record).unlink()
    store.write(record.model_copy(update={"trust": "claimed"}))
    assert remeasure(store, "--check") == 1
    assert f"of what is published no more: {store.costs_path(record)}" in capsys.readouterr().out
    assert remeasure(store) == 0 and not store.read_costs()


def test_models_that_no_record_is_about_are_named_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose records replace others leaves their models: files, and folders of parts."""
    store = published(tmp_path / "board", ["int8"])
    digest_path(store.model_path(store.read_all()[0])).write_bytes(b"digest")
    there = files(store)
    left, parts = (store.models / f"{digit * 64}.safetensors.xz" for digit in "ab")
    left.write_bytes(b"model")
    parts.mkdir()
    (parts / "01of02").write_bytes(b"part")
    assert remeasure(store, "--check") == 1
    said = capsys.readouterr().out
    assert all(f"of what is published no more: {path}\n" in said for path in (left, parts)) and left.exists()
    assert remeasure(store) == 0 and files(store) == there and not parts.exists()
    assert remeasure(store, "--check") == 0


def renamed(record: Values) -> Values:
    """Of a record: made by a task whose version has been followed by others."""
    return {"contributions": record["contributions"] | {"task digits": 1}}


def test_accuracy_is_believed_only_where_it_is_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = published(tmp_path / "board", ["int8"])
    record = lie(tmp_path / "board", renamed(only(tmp_path / "board")[1]) | {"cell": "0" * 32})
    assert remeasure(store, "--workers", "0") == 0
    assert "1 not predicted again: it is of version 1 of its task" in capsys.readouterr().out
    (made,) = store.read_all()
    assert made.trust == "re-measured" and made.accuracy == record.accuracy

    lie(tmp_path / "board", all_right(only(tmp_path / "board")[1]) | {"cell": "0" * 32, "contributions": {}})
    there = files(store)
    assert remeasure(store, "--workers", "0") == 1
    assert "predicted again, other test samples are right than its bitmap says" in capsys.readouterr().out
    assert files(store) == there


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["remeasure", "--check", "--task", "digit"], "no records of task 'digit'; nearest is 'digits'; there are: "),
        (["remeasure", "--check", "--recipe", "int9"], "no records of recipe 'int9'; nearest is 'int8'; there are: "),
        (["remeasure", "--check", "--board", "nucleo"], "no records of board 'nucleo'; nearest is 'nucleo_l4"),
        (
            ["remeasure", "--check", "--workers", "many"],
            "argument --workers: 'many' is not a whole number from 0 to 1024",
        ),
        (["remeasure", "--check", "--output", "nothing"], "nothing/records holds no records; kilobench run makes some"),
        (["verify", "--task", "digit"], "no records of task 'digit'; nearest is 'digits'; there are: "),
        (["verify", "--sample", "0"], "argument --sample: '0' is not a whole number from 1 to 1000000"),
        (["verify", "--output", "nothing"], "nothing/records holds no records; kilobench run makes some"),
    ],
)
def test_what_there_is_not_is_said_in_a_line(
    options: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    try:
        code = main(options)
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    assert code == 2 and said.out == "" and said.err.count("\n") == 1 and said.err.startswith(f"kilobench: {told}")
