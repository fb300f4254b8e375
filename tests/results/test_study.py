# SPDX-License-Identifier: Apache-2.0
"""Verdicts on the study's claims, of made-up records."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kilobench.plugins.registry import load_registry
from kilobench.record import Record, accuracy
from kilobench.render.study import sentence
from kilobench.results import ratios, study
from kilobench.results.claims import BEST_EPOCH, COMPUTATION, EIGHT, FEW, MEMORY, PUBLISHED
from kilobench.results.ratios import ratio_verdict
from kilobench.results.rows import Rows
from kilobench.results.stats import Estimate
from kilobench.results.study import DOES_NOT, HOLDS, NOT_MEASURED, NOT_TOLD, ONLY, Case, Verdict, judged
from kilobench.results.table import rows_of
from tests.results.records import record

BUDGET = "flash=64KiB,board=nucleo_l476rg"
LOSS = 0.1


def made(recipe: str, right: float, fold: int, task: str = "fsdd", classes: int = 10, **changes: object) -> Record:
    """Of 400 samples a share is right, the same ones in every record: recipes differ in the last of them alone."""
    found = accuracy(np.arange(400) < round(400 * right)).model_dump()
    facts = {"budget": BUDGET, "flash_bytes": 60_000, "task": task, "classes": classes, "accuracy": found}
    return record(recipe, fold=fold, data_digest=f"{task} fold {fold}", **(facts | changes))


def contest(folds: int = 5, task: str = "fsdd", classes: int = 10, **right: float) -> list[Record]:
    """Of recipes by their accuracies; ``prune`` stands for prune+int8, and folds differ by a point."""
    names = {"prune": "prune+int8"}
    return [
        made(names.get(name, name), share + fold / 100, fold, task, classes)
        for name, share in right.items()
        for fold in range(folds)
    ]


def few(*records: list[Record]) -> Verdict:
    rows = rows_of([one for some in records for one in some])
    return judged(study.few_cases(study.duels(study.contests(rows))), "none")


def space(*records: list[Record]) -> Verdict:
    rows = rows_of([one for some in records for one in some])
    return judged(study.space_cases(study.duels(study.contests(rows), (study.PRUNED,))), "none")


def test_few_classes_have_every_verdict() -> None:
    alike, worse = contest(int8=0.8, xnor=0.8), contest(task="digits", int8=0.8, xnor=0.7)
    assert few(alike) == Verdict(HOLDS, "for acdnet on fsdd at 64 KiB")
    assert few(worse) == Verdict(DOES_NOT, "for acdnet on digits at 64 KiB")
    assert few(alike, worse) == Verdict(ONLY, "for acdnet on fsdd at 64 KiB; not for acdnet on digits at 64 KiB")
    assert few(contest(folds=1, int8=0.8, xnor=0.7)).word == NOT_TOLD, "one training is no verdict"
    assert few(contest(classes=FEW + 1, int8=0.8, xnor=0.8)) == few(contest(xnor=0.8)) == Verdict(NOT_MEASURED, "none")
    assert few(contest(int8=0.7, xnor=0.8)).word == HOLDS, "more accurate is as accurate"


def test_a_tie_that_may_hide_a_loss_is_no_verdict() -> None:
    """Folds that disagree: no test tells, and no interval excludes a loss."""
    rows = [made("int8", 0.8, fold) for fold in range(3)]
    rows += [made("xnor", 0.8 + (-LOSS, 0, LOSS)[fold], fold) for fold in range(3)]
    assert few(rows).word == space([*rows, *contest(3, prune=0.8)]).word == NOT_TOLD


def test_the_same_space_has_every_verdict() -> None:
    lost, won = contest(prune=0.8, xnor=0.7), contest(task="digits", prune=0.7, xnor=0.8)
    assert space(lost).word == HOLDS and space(won).word == DOES_NOT
    assert space(lost, won) == Verdict(ONLY, "for acdnet on fsdd at 64 KiB; not for acdnet on digits at 64 KiB")
    assert space(contest(prune=0.8, xnor=0.8)).word == NOT_TOLD, "ties are ties"
    assert space(contest(int8=0.8, xnor=0.7)).word == NOT_MEASURED


def test_terms_are_equal() -> None:
    """Other steps, older versions and claims would turn the verdict; of two contests the longer counts."""
    fair = contest(prune=0.8, xnor=0.7)
    unfair: dict[str, object]
    for unfair in ({"steps": {"train": 9000}}, {"effort": None, "steps": {}}, {"trust": "claimed"}):
        others = [made("xnor", 0.95, fold, **unfair) for fold in range(5)]
        assert space([*contest(prune=0.8), *others]).word == NOT_MEASURED, unfair
        assert space([*fair, *[one for one in others if unfair != {"steps": {"train": 9000}}]]).word == HOLDS, unfair
    short = {"effort": 1.0, "steps": {"train": 1000}}
    quick = [
        made(name, right, fold, **short) for name, right in (("prune+int8", 0.6), ("xnor", 0.7)) for fold in range(5)
    ]
    assert space(quick).word == DOES_NOT and space([*quick, *fair]).word == HOLDS


def test_verdicts_are_about_the_recipe_that_keeps_its_stem() -> None:
    both = [*contest(prune=0.8, xnor=0.7), *[made("xnor[layout=study]", 0.95, fold) for fold in range(5)]]
    found = study.duels(study.contests(rows_of(both)), (study.PRUNED,))
    assert [(duel.xnor["recipe"], duel.ahead) for duel in sorted(found, key=lambda duel: duel.main)] == [
        ("xnor[layout=study]", True),
        ("xnor", False),
    ]
    assert len(study.space_cases(found)) == 1


def by_classes(folds: int = 5, **differences: float) -> list[Record]:
    """XNOR less prune+int8 by the number of classes, as in ``c10=0.1``."""
    records = []
    for name, difference in differences.items():
        classes = int(name[1:])
        records += contest(
            folds, task=f"cifar100[classes={classes}]", classes=classes, int8=0.7, prune=0.7, xnor=0.7 + difference
        )
    return records


def curve(**differences: float) -> list[study.Curve]:
    return study.curves(rows_of(by_classes(**differences)))


@pytest.mark.parametrize(
    ("differences", "change", "holds"),
    [
        ({"c10": LOSS, "c45": -LOSS}, 22, True),
        ({"c10": LOSS, "c20": -LOSS, "c50": -LOSS}, 17, True),
        ({"c10": -LOSS, "c20": -2 * LOSS}, None, True),
        ({"c10": -LOSS, "c20": -LOSS}, None, False),
        ({"c10": 0, "c20": LOSS}, None, False),
        ({"c10": LOSS, "c20": 0}, None, None),
    ],
)
def test_where_the_order_changes(differences: dict[str, float], change: int | None, holds: bool | None) -> None:
    """The first number of classes at which the line is below 0: with 10 and 45 behind 21.2, which is in the middle of both."""
    (found,) = curve(**differences)
    assert (found.change and found.change[0], found.holds) == (change, holds)
    assert found.label == "cifar100, acdnet at 64 KiB, 2600 steps"
    assert [duel.xnor["classes"] for duel in found.pruned] == [int(name[1:]) for name in differences]
    assert len(found.reference) == len(differences)
    if found.change:
        classes, low, high = found.change
        assert found.ends[0] < low <= classes <= high < found.ends[1], "both ends are told apart"
        assert f"at {classes} classes ({low} to {high})" in found.said
        assert found.at(low).low < 0 < found.at(low - 1).low and found.at(high).high < 0 < found.at(high - 1).high


def test_more_numbers_of_classes_do_not_make_less_told() -> None:
    """The same small loss at each: of two it is told, and of six of them as well, in a shorter interval."""
    small = -0.02
    (two,), (six,) = (
        curve(c10=small, c100=small),
        curve(c10=small, c15=small, c25=small, c40=small, c60=small, c100=small),
    )
    for one in (two, six):
        assert one.holds is False and one.change is None
        assert one.said.startswith("pruning leads from the start, at 10 classes by 2.0 points, +")
        assert "; XNOR does not fall behind as classes grow (" in one.said
    assert six.at(10).high - six.at(10).low < two.at(10).high - two.at(10).low
    assert six.at(32).mean == pytest.approx(two.at(32).mean)


def test_who_leads_from_the_start_may_lead_by_more() -> None:
    """And is said to lead where it is not told whether by more."""
    (more,), (still,) = curve(c10=-LOSS, c40=-3 * LOSS), curve(c10=3 * LOSS, c40=LOSS)
    (perhaps,) = curve(c10=-LOSS, c40=-LOSS - 0.015)
    assert perhaps.holds is None and perhaps.at(10).high < 0
    assert perhaps.said.startswith("pruning leads from the start, at 10 classes by ")
    assert "; whether XNOR fell behind from 10 on is not told (" in perhaps.said
    first, last = perhaps.pruned
    vague = replace(perhaps, pruned=(first, replace(last, difference=Estimate(0.0, -0.3, 0.3))))
    assert vague.holds is None and vague.said.endswith("; no change is told from 10 to 40 classes")
    assert vague.said.startswith("pruning leads from the start, at 10 classes by ")
    assert more.holds and more.change is None and ", and XNOR falls behind by " in more.said
    assert still.holds is False and still.said.startswith("XNOR leads at 40 classes, by ") and still.lost.low > 0


def test_a_lead_that_more_test_inputs_tell_is_no_change() -> None:
    """The same loss at both numbers of classes; at the fewer, folds of few inputs that disagree hide it."""

    def few(recipe: str, right: int, fold: int) -> Record:
        found = {"accuracy": accuracy(np.arange(40) < right).model_dump()}
        return made(recipe, 0.7, fold, "cifar100[classes=10]", 10, **found)

    swings = (4, -8, 2)
    records = [few(name, 28, fold) for name in ("int8", "prune+int8") for fold in range(3)]
    records += [few("xnor", 28 + swings[fold] - 2, fold) for fold in range(3)]
    (found,) = study.curves(rows_of([*records, *by_classes(folds=3, c50=-0.05)]))
    assert found.change is None and found.holds is None and found.lost.low < 0 < found.lost.high
    assert found.said.startswith("pruning leads at 50 classes, but whether XNOR fell behind from 10 on is not told (")


def test_what_was_lost_is_by_the_line_through_all_numbers_of_classes() -> None:
    """Twice the classes, the same loss; of two numbers of classes it is the difference of both, whatever lies between."""
    (steady,) = curve(c10=0, c20=-LOSS, c40=-2 * LOSS)
    assert steady.lost.mean == pytest.approx(2 * LOSS, abs=0.01)
    (two,), (bent,) = curve(c10=0, c40=-LOSS), curve(c10=0, c20=-2 * LOSS, c40=-LOSS)
    first, last = (duel.difference for duel in two.pruned)
    assert two.lost.mean == pytest.approx(first.mean - last.mean) and bent.lost.mean == pytest.approx(two.lost.mean)
    half = math.hypot(first.mean - first.low, last.high - last.mean)
    assert two.lost.low == pytest.approx(two.lost.mean - half) and two.lost.low < two.lost.mean < two.lost.high


def test_the_longest_training_is_what_counts_and_all_are_shown() -> None:
    changes = {"training_changes": "steps=1000", "effort": 1.0, "steps": {"train": 1000}}
    short = [one.model_copy(update=changes) for one in by_classes(c10=0, c50=0)]
    found = study.curves(rows_of([*short, *by_classes(c10=0, c50=-LOSS)]))
    assert [curve.label.rpartition(", ")[2] for curve in found] == ["2600 steps", "1000 steps"]
    assert [curve.holds for curve in found] == [True, False]
    (case,) = study.curve_cases(found)
    assert case.holds and "2600 steps (pruning takes over at 11 classes (" in case.label


def test_a_length_of_training_is_the_same_whether_it_is_the_tasks_own_or_asked_for() -> None:
    """And what ends at few classes is shown, but says nothing of many."""
    few = contest(task="fsdd[classes=5]", classes=5, int8=0.7, prune=0.7, xnor=0.7)
    own = contest(int8=0.7, prune=0.7, xnor=0.6)
    assert (
        study.curves(rows_of([*own, *(one.model_copy(update={"training_changes": "steps=999"}) for one in few)])) == []
    )
    asked = [one.model_copy(update={"training_changes": "steps=1000"}) for one in few]
    (found,) = study.curves(rows_of([*own, *asked]))
    assert found.ends == (5, 10) and found.label.endswith(", 2600 steps") and found.holds
    assert study.curve_cases([found]) == []


def test_what_the_best_epoch_is_worth_is_what_the_guide_shows() -> None:
    text = (Path(__file__).parents[2] / "docs" / "study.md").read_text("utf-8")
    shown = re.findall(r"best_epoch '?([^' ]+)'? .*?best over last: mean ([0-9.]+) points", text, re.DOTALL)
    assert {task: float(points) for task, points in shown} == BEST_EPOCH


def test_one_number_of_classes_is_no_curve() -> None:
    assert curve(c10=0) == [] and judged(study.curve_cases([]), "no curve") == Verdict(NOT_MEASURED, "no curve")


def test_cases_make_verdicts() -> None:
    yes, no, tie = Case("a", True), Case("b", False), Case("c", None)
    assert judged([yes], "").word == HOLDS and judged([no, tie], "") == Verdict(DOES_NOT, "for b; not told for c")
    assert judged([yes, tie], "") == Verdict(ONLY, "for a; not told for c"), "a tie is not a yes"
    assert judged([tie], "", "why") == Verdict(NOT_TOLD, "why for c")
    assert judged([tie, yes, no, yes], "").tally == "2 yes, 1 no, 1 not told"
    assert judged([no], "").tally == "1 no" and judged([], "").tally == ""


def test_kinds_agree_if_their_answers_do() -> None:
    yes, no, tie = ([Case("", holds)] for holds in (True, False, None))
    for sound, images, expected in (
        (yes, yes, True), (yes, no, False), (yes, tie, None), (yes, yes + no, None), (yes + no, no + yes, True), ([], yes, None),
    ):  # fmt: skip
        assert study.kind_cases({"q": {"sound": sound, "images": images}}) == [Case("q", expected)]
    rows = rows_of(
        [*contest(int8=0.8, xnor=0.8), *contest(task="cifar10", int8=0.8, xnor=0.7), *contest(task="new", xnor=1)]
    )
    asked = study.by_kind(study.duels(study.contests(rows)), [])
    assert [[case.holds for case in cases] for cases in next(iter(asked.values())).values()] == [[True], [False]]


def pair(cycles: int, flash: int, weights: int, **changes: object) -> Rows:
    """A network of 32 MB, 58 million operations and cycles, and its XNOR-Net."""

    def split(weights: int) -> dict[str, int]:
        return {"weights": weights, "runtime": 1, "board_support": 1}

    whole = {"flash_bytes": 32_000_000, "cycles": 58_000_000, "macs": {"fp32": 58_000_000, "int8": 0, "binary": 0}}
    small = {"macs": {"fp32": 0, "int8": 0, "binary": 58_000_000}, "flash_bytes": flash, "cycles": cycles}
    full = record("full", flash=split(32_000_000), **whole)
    return rows_of([full, record("xnor", flash=split(weights), **(small | changes))])


def memory(rows: Rows) -> Verdict:
    return ratio_verdict(MEMORY, ratios.memory_levels(ratios.same_network(rows)), "no pair")


def test_memory_has_every_verdict() -> None:
    assert memory(pair(1, 1_000_000, 1_000_000)) == Verdict(HOLDS, "as the study counts, flash of weights, program")
    half = memory(pair(1, 2_000_000, 1_000_000))
    assert half == Verdict(ONLY, "as the study counts; flash of weights; never program")
    assert memory(pair(1, 4_000_000, 4_000_000)) == Verdict(
        ONLY, "as the study counts; never flash of weights, program"
    )
    assert memory(rows_of([record("full")])) == Verdict(NOT_MEASURED, "no pair")


def test_costs_are_compared_whatever_the_training_but_of_one_network_and_no_claims() -> None:
    other = {"training_changes": "epochs=9", "effort": None, "steps": {}}
    assert len(ratios.same_network(pair(1, 1, 1, **other))) == 1
    for apart in (
        {"network": "acdnet[width=2]"},
        {"trust": "claimed"},
        {"board": "raspberry_pi_pico"},
        {"task": "esc10"},
    ):
        assert not ratios.same_network(pair(1, 1, 1, **apart)), apart
    assert not ratios.same_network(rows_of([record("full"), record("prune+xnor")])), "pruning makes another network"


def test_computation_is_counted_and_measured_on_every_core() -> None:
    rows = [
        *pair(10_000_000, 1, 1),
        *[{**row, "board": "b", "timing": "emulated hazard3"} for row in pair(1_000_000, 1, 1)],
    ]
    levels = ratios.computation_levels(ratios.same_network(rows))
    assert {level: dict(found) for level, found in levels.items() if found} == {
        ratios.BY_ITS_RULE: {"acdnet on fsdd[classes=5]": 64},
        "cortex-m4": {"acdnet on fsdd[classes=5]": 5.8},
        "hazard3": {"acdnet on fsdd[classes=5]": 58},
    }
    found = ratio_verdict(COMPUTATION, levels, "")
    assert found == Verdict(ONLY, "as the study counts; counted by its rule; hazard3; never cortex-m4")


def test_cycles_of_pruning_are_those_of_its_contest() -> None:
    costs = {"prune+int8": 16_000_000, "xnor": 2_000_000}
    records = [made(name, 0.8, fold, cycles=cycles) for name, cycles in costs.items() for fold in range(3)]
    rows = rows_of(records)
    moved = [{**row, "board": "pico", "timing": "emulated cortex-m0plus", "cycles": 4e6} for row in rows]
    levels = ratios.eight_levels(study.duels(study.contests(rows), (study.PRUNED,)), [*rows, *moved])
    assert dict(levels["cortex-m4"]) == {"acdnet on fsdd at 64 KiB": 8} and dict(levels["cortex-m0plus"]) == {
        "acdnet on fsdd at 64 KiB": 1
    }
    assert "cortex-m33" not in levels and ratio_verdict(EIGHT, levels, "").word == ONLY
    assert ratio_verdict(EIGHT, {"cortex-m0plus": [("a", 1)]}, "") == Verdict(DOES_NOT, "cortex-m0plus")
    assert ratio_verdict(EIGHT, {"cortex-m4": []}, "no contest") == Verdict(NOT_MEASURED, "no contest")


def test_an_operation_is_compared_where_networks_are_of_equal_flash() -> None:
    fp32, binary = ({"fp32": 1_000_000, "int8": 0, "binary": 0}, {"fp32": 0, "int8": 0, "binary": 4_000_000})
    records = [made("full", 0.8, fold, cycles=8_000_000, macs=fp32) for fold in range(3)]
    rows = rows_of([*records, *[made("xnor", 0.8, fold, cycles=2_000_000, macs=binary) for fold in range(3)]])
    levels = ratios.computation_levels([], study.contests(rows), rows)
    assert dict(levels["cortex-m4"]) == {"acdnet on fsdd at 64 KiB (per operation)": 16}
    assert dict(levels[ratios.BY_ITS_RULE]) == {"acdnet on fsdd at 64 KiB (per operation)": 64}


def test_what_fits_no_board_of_a_core_is_told_from_what_was_never_tried() -> None:
    rows = pair(1, 1, 1)
    tried = [{**row, "timing": "emulated hazard3"} for row in rows]
    whole, small = ({**row, "timing": "emulated cortex-m0"} for row in rows)
    large = {**whole, "cycles": math.nan, "fits": False}
    compared = [("acdnet", rows[0], rows[1])]
    known = [*rows, *tried, small]
    assert ratios.too_large(compared, [*known, large]) == {("acdnet", "cortex-m0")}
    assert not ratios.too_large(compared, [*known, whole]) and not ratios.too_large(compared, known)


@pytest.mark.parametrize(
    ("right", "changes", "folds", "holds"),
    [
        (0.97, {}, 5, True),
        (0.80, {}, 5, None),
        (0.80, {"training_changes": "study"}, 5, False),
        (0.97, {}, 1, None),
    ],
)
def test_accuracies_are_held_against_the_papers(
    right: float, changes: dict[str, object], folds: int, holds: object
) -> None:
    """What was trained otherwise than in the study, and is not as good, says nothing against it."""
    facts = {"budget": "", "network": "acdnet[channels=paper]"}
    rows = rows_of([made("full", right, fold, "esc10", **(facts | changes)) for fold in range(folds)])
    found = {(one.published.task, one.published.title): one for one in study.checked(rows)}
    assert len(found) == len(PUBLISHED) == 8
    assert found["esc10", "ACDNet"].case == Case("ACDNet on esc10", holds)
    assert found["esc50", "ACDNet"].row is None and found["esc50", "ACDNet"].case.holds is None


def test_the_answer_is_who_wins_and_of_ties_the_fastest() -> None:
    def cells(**cycles: int) -> list[Record]:
        right = {"int8": 0.8, "prune+int8": 0.8, "xnor": 0.7}
        return [
            made(name, right[name], fold, task, cycles=count)
            for task in ("fsdd", "digits")
            for name, count in zip(right, cycles.values(), strict=True)
            for fold in range(5)
        ]

    found = study.answer(rows_of(cells(int8=1_000_000, pruned=2_000_000, xnor=4_000_000)))
    assert found is not None
    assert (found.best.recipe, found.best.first, found.best.contests) == ("int8", 2, 2)
    assert {one.recipe: (one.first, one.contests) for one in found.others} == {"prune+int8": (2, 2), "xnor": (0, 2)}
    assert found.cycles == {"prune+int8": 0.5, "xnor": 0.25} and (found.tasks, found.budgets) == (2, ("64 KiB",))
    other = study.answer(rows_of(cells(int8=4_000_000, pruned=2_000_000, xnor=1_000_000)))
    assert other is not None and other.best.recipe == "prune+int8"
    assert found.faster == "" and other.faster == "", "xnor is faster, and in no contest as accurate"
    assert study.answer(rows_of(contest(folds=1, int8=0.8, xnor=0.7))) is None, "of one training"
    assert study.answer(rows_of([record("xnor"), record("int8")])) is None, "of no budget"


def test_what_is_nearly_as_often_first_and_faster_is_named_too() -> None:
    right = {"prune+int8": 0.8, "int8": 0.8, "xnor": 0.7}
    tasks = ("fsdd", "digits", "cifar10", "esc10")
    for behind, faster in ((1, "int8"), (2, "")):
        records = [
            made(name, 0.6 if name == "int8" and task in tasks[:behind] else share, fold, task, cycles=cycles)
            for task in tasks
            for (name, share), cycles in zip(right.items(), (2_000_000, 1_000_000, 500_000), strict=True)
            for fold in range(5)
        ]
        found = study.answer(rows_of(records))
        assert found is not None and (found.best.recipe, found.faster) == ("prune+int8", faster)
        assert ("where time counts too, make the network narrower" in sentence(found)) == bool(faster)


def test_the_answer_says_of_how_many_data_sets_its_tasks_are() -> None:
    tasks = ("esc50", "esc50[classes=10]", "esc50[classes=20]", "spoken-words[voices=94]", "spoken-words", "fsdd")
    found = study.answer(rows_of([one for task in tasks for one in contest(task=task, int8=0.8, xnor=0.7)]))
    assert found is not None and (found.tasks, found.data_sets) == (6, 3)
    assert "On 6 tasks of 3 data sets, at 64 KiB" in sentence(found)


def test_a_contest_says_the_same_whatever_others_have() -> None:
    """``full`` is placed where it was run, though it is in one contest of four and cannot be the best."""
    one = contest(full=0.82, int8=0.8, xnor=0.7)
    others = [record for task in ("digits", "cifar10", "esc10") for record in contest(task=task, int8=0.8, xnor=0.7)]
    alone, among = study.answer(rows_of(one)), study.answer(rows_of([*one, *others]))
    assert alone is not None and among is not None
    assert (alone.best.recipe, among.best.recipe) == ("full", "int8")
    firsts = [next((o.first for o in (found.best, *found.others) if o.recipe == "int8"), 0) for found in (alone, among)]
    assert firsts[1] == firsts[0] + 3


def test_networks_of_one_task_are_told_apart() -> None:
    for budget, shown in (("", ""), (BUDGET, " at 64 KiB")):
        two = [
            made(recipe, 0.8, 0, network=network, budget=budget)
            for network in ("acdnet", "resnet8")
            for recipe in ("full", "xnor")
        ]
        labels = [duel.label for duel in study.duels(study.contests(rows_of(two)))]
        assert labels == [f"acdnet on fsdd{shown}", f"resnet8 on fsdd{shown}"]


def test_further_methods_change_no_answer_and_are_named_where_they_are_ahead() -> None:
    usual = contest(int8=0.8, prune=0.8, xnor=0.7)
    plain = study.answer(rows_of(usual))
    assert plain is not None and plain.ahead == ()
    better = [made("lsq", 0.9 + fold / 100, fold) for fold in range(5)]
    for further, ahead in (
        (better, (("acdnet on fsdd at 64 KiB", "lsq"),)),
        (contest(1, ternary=0.95), ()),
    ):
        found = study.answer(rows_of([*usual, *further]))
        assert found is not None and replace(found, ahead=()) == plain and found.ahead == ahead


def test_every_task_that_tells_classes_is_of_sound_or_of_images() -> None:
    registry = load_registry()
    found = {
        name: "images" if task.kind == "image" else "sound"
        for name in registry.entries["tasks"]
        if (task := registry.get("tasks", name)).objective == "classes"
    }
    assert {name: study.kind({"task": name}) for name in found} == found
