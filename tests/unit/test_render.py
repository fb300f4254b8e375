import random
from pathlib import Path

from kilobench.render import render
from kilobench.render.table import frame
from tests.unit.records import contest, record

GOLDEN = Path(__file__).parents[1] / "golden"


def test_the_same_records_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    records = contest()
    first = {path.name: path.read_bytes() for path in render(records, tmp_path / "a")}
    random.Random(0).shuffle(records)
    assert {path.name: path.read_bytes() for path in render(records, tmp_path / "b")} == first


def test_pages_are_the_golden_ones(tmp_path: Path) -> None:
    """After a wanted change: python -m tests.unit.test_render writes them anew; read the diff."""
    render(contest(), tmp_path)
    for name in ("README.md", "tasks/fsdd-classes=5.md"):
        assert (tmp_path / name).read_text() == (GOLDEN / name).read_text()


def test_folds_are_pooled_and_compared_on_the_same_samples() -> None:
    rows = frame([record(fold=0, correct=80), record(fold=1, correct=60), record("int8", fold=0, correct=80)])
    full = rows[rows["recipe"] == "full"].iloc[0]
    assert (full["accuracy"], full["samples"], full["folds"]) == (0.7, 200, 2)
    assert not rows[rows["recipe"] == "full"]["tied"].iloc[0], "other folds than the best row's"


def test_ratios_and_ties_are_those_of_the_figures() -> None:
    rows = frame(contest())
    row = rows[(rows["recipe"] == "xnor+int8") & (rows["board"] == "nucleo_l476rg")].iloc[0]
    assert (row["flash_ratio"], row["cycles_ratio"]) == (10, 8)
    assert set(rows[rows["tied"]]["recipe"]) == {"full", "int8"}


if __name__ == "__main__":
    render(contest(), GOLDEN)
