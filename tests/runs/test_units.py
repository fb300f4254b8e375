# SPDX-License-Identifier: Apache-2.0
"""What there is to do for cells, what is shared, what it will take, and the dry run's tree."""

import dataclasses
import io
import json
from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from kilobench.commands import forecast
from kilobench.contracts import CellError, UserError
from kilobench.files import write_kept
from kilobench.plugins.names import module_name
from kilobench.plugins.registry import Registry, load_registry
from kilobench.plugins.suites import Suite
from kilobench.runs.executors import Failed, attempt
from kilobench.runs.plan import Cell, Planner, plan, points
from kilobench.runs.run import work_for
from kilobench.runs.units import Costs, Unit, units


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KILOBENCH_CACHE", str(tmp_path))
    return tmp_path


def planned(suite: Suite, registry: Registry | None = None, link: str = "emulator") -> list[Cell]:
    registry = registry or load_registry()
    return plan(points(suite, registry, link, "zig"), registry)


def cells(recipes: tuple[str, ...] = ("int8", "xnor"), **changes: object) -> list[Cell]:
    boards = ("nucleo_l476rg", "raspberry_pi_pico")
    suite = Suite(title="t", tasks=("digits",), recipes=recipes, boards=boards, **changes)  # type: ignore[arg-type]
    return planned(suite)


def test_cells_share_training_and_evaluation() -> None:
    made = units(cells(("xnor", "prune+int8")))
    kinds = [unit.kind for unit in made.values()]
    assert kinds.count("train") == 4  # train, xnor, prune, int8 after it
    assert kinds.count("evaluate") == 2
    assert kinds.count("measure") == 4
    before: set[str] = set()
    for key, unit in made.items():
        assert set(unit.needs) <= before
        before.add(key)


def test_a_teacher_is_a_training_of_its_own_that_all_share() -> None:
    taught = tuple(
        f"distill[teacher=resnet8[width=2]{more}]+{last}" for more in ("", ",weight=0.3") for last in ("xnor", "qat")
    )
    wanted = cells((*taught, "prune+int8"))
    made = units(wanted)
    trained = [unit for unit in made.values() if unit.kind == "train"]
    assert len(trained) == 1 + 1 + 2 + 4 + 2  # full, teacher, distill twice, what it teaches, prune and int8
    (teacher,) = [unit for unit in trained if unit.point.network == "resnet8[width=2]"]
    assert (teacher.point.recipe, teacher.point.ends, teacher.recipes) == ("", (1.0,), ())
    planner = Planner(load_registry())
    for unit in made.values():  # a worker plans it again from its point alone
        assert units([planner.cell(unit.point)])[unit.key] == unit
    for cell in wanted[:8]:
        needed = {unit.key: unit for unit in units([cell]).values()}
        stages = [stage.key for stage in cell.model.stages]
        assert teacher.key not in needed[stages[0]].needs
        assert all(teacher.key in needed[key].needs for key in stages[1:])


def test_what_is_there_is_not_to_do() -> None:
    wanted = cells()
    first = units(wanted[:1])
    for unit in first.values():
        write_kept(unit.path, b"")
    work = work_for(wanted, retry_failed=False)
    assert [cell.key for cell in work.missing] == [cell.key for cell in wanted[1:]]
    assert not {unit.key for unit in work.to_do()} & set(first)


def test_times_come_from_like_units_else_from_the_kind(cache: Path) -> None:
    train, *_ = units(cells()).values()
    other = next(u for u in units(cells(seeds=(1,))).values())
    foreign = next(u for u in units(cells(training="epochs=3")).values())
    assert Costs().seconds(train) == 20.0 and not Costs().known(train)
    Costs().add(train, 8.0)
    with (cache / "costs.jsonl").open("a") as file:
        file.write('{"kind": "train", "like": "an')  # a power cut
    costs = Costs()
    assert costs.known(train) and costs.known(other) and not costs.known(foreign)
    assert costs.seconds(other) == costs.seconds(foreign) == 8.0


def test_the_dry_run_shows_what_is_shared_cached_and_to_do(cache: Path) -> None:
    wanted = cells(("int8",))
    made = list(units(wanted).values())
    made[0].path.parent.mkdir(parents=True)
    made[0].path.touch()
    Costs().add(made[1], 75.0)
    failed = {"label": "x", "key": made[-1].key, "reason": "it broke", "lasting": True}
    write_kept(cache / "failures" / f"{made[-1].key}.json", json.dumps(failed).encode())
    out = io.StringIO()
    forecast.show(work_for(wanted, retry_failed=False), 1, Console(file=out, width=120))
    text = out.getvalue()
    assert "2 cells: 0 cached, 1 failed before (--retry-failed), 1 to measure in 3 steps, about" in text
    assert "train  cached" in text
    assert "int8  1:15" in text
    assert "raspberry_pi_pico  failed before: it broke" in text
    assert text.count("train") == 1
    work = work_for(wanted, retry_failed=True)
    assert len(work.missing) == 2


def test_ten_thousand_cached_cells_are_planned_in_three_seconds() -> None:
    """On a quiet machine; three times as long is allowed here."""
    from time import perf_counter

    suite = Suite(
        title="t",
        tasks=("digits", "fsdd", "fsdd[classes=2]", "fsdd[classes=5]"),
        recipes=("full", "int8", "prune+int8", "xnor", "xnor+int8"),
        boards=("nucleo_l476rg", "nucleo_f446re", "raspberry_pi_pico", "nucleo_f103rb", "nrf52840_dk"),
        seeds=tuple(range(100)),
    )
    start = perf_counter()
    found = planned(suite)
    seconds = perf_counter() - start
    assert len(found) == 10_000
    folder = list(units(found[:1]).values())[-1].path.parent
    folder.mkdir(parents=True, exist_ok=True)
    for cell in found:
        (folder / f"{cell.key}.json").touch()
        (folder / f"{cell.key}.json.sha256").write_text(sha256(b"").hexdigest())
    start = perf_counter()
    work = work_for(found, retry_failed=False)
    assert not work.missing
    assert seconds + perf_counter() - start < 9.0


PLUGIN = """
from kilobench.api import Method, Network
class Mine(Method):
    'Does nothing.'
    name = 'mine'
    order = 35
    def apply(self, model, job):
        return model
class Own(Network):
    'None.'
    name = 'own'
    def build(self, *_):
        pass
"""


def test_units_need_the_plug_ins_that_lead_to_them_and_no_others(tmp_path: Path) -> None:
    """What recipes share is done without those of the rest of a recipe, and found again by who has no more than these."""
    (tmp_path / "mine.py").write_text(PLUGIN)
    module = module_name(tmp_path / "mine.py")
    everything, project = load_registry([str(tmp_path)]), load_registry()
    suite = Suite("t", ("digits",), ("xnor+mine+int8", "xnor+int8", "full"), ("nucleo_l476rg",))
    found = planned(suite, everything)
    made = units(found)
    assert [unit.plugins for unit in units(found[:1]).values()] == [
        (),
        (),
        (module,),
        (module,),
        (module,),
        (module,),
    ]
    assert [unit.point.recipe for unit in units(found[:1]).values()][:4] == [
        "",
        "xnor",
        "xnor+mine",
        "xnor+mine+int8",
    ]
    assert not any(unit.plugins for cell in found[1:] for unit in units([cell]).values())
    for unit in made.values():
        registry = everything if unit.plugins else project
        assert units([Planner(registry).cell(unit.point)])[unit.key] == unit
    own = planned(dataclasses.replace(suite, recipes=("full",), network="own"), everything)
    assert all(unit.plugins == (module,) for unit in units(own).values())


@pytest.mark.parametrize("error", [ValueError, CellError, UserError, OSError, SystemExit])
def test_a_failure_is_one_printable_line(error: type[BaseException]) -> None:
    def fails() -> None:
        raise error("two\nlines \x1b[31m and [bold]markup[/bold] [/x]")

    failed = attempt(next(iter(units(cells()).values())), fails, lambda event: None)
    assert isinstance(failed, Failed)
    assert failed.reason.endswith("two lines and [bold]markup[/bold] [/x]") and failed.reason.isprintable()


def test_what_fails_on_a_real_board_is_tried_again_by_the_next_run() -> None:
    suite = Suite(title="t", tasks=("digits",), recipes=("full",), boards=("nucleo_l476rg",))
    kinds = {}
    for link in ("emulator", "serial"):
        for unit in units(planned(suite, link=link)).values():
            failed = attempt(unit, Unplugged, lambda event: None)
            assert isinstance(failed, Failed)
            kinds[unit.kind, link] = failed.lasting
    assert kinds["measure", "emulator"] and kinds["train", "serial"] and not kinds["measure", "serial"]


class Unplugged:
    def do(self, unit: Unit, progress: object) -> None:
        raise CellError("the port has vanished")
