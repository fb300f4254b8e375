# SPDX-License-Identifier: Apache-2.0
"""What recipes take on boards that nobody ran them on: their published models, run on the same core (``costs``).

A model's outputs are the same on every board, and so are its accuracy and its place; what it costs is that of the model of the
recipe's first seed and fold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from kilobench.contracts import UserError
from kilobench.plugins.spec import nearest
from kilobench.record import BoardCost, CoreCost, Costs, Record, milliseconds
from kilobench.results.contest import CONTEST, contest_of
from kilobench.results.energy import Boards
from kilobench.results.rows import Row, Rows, grouped
from kilobench.results.store import Store
from kilobench.results.table import mark_pareto

TOOLCHAIN = "zig"
"""That programs for other boards are built by."""
_BUILT_FOR = "program built for"
"""Among the conditions of a row: another board of the same core."""
Place = tuple[CoreCost, BoardCost]


def representatives(records: Iterable[Record], store: Store) -> Iterator[Record]:
    """Of every recipe that may be ranked, and whose model is published, the record of the first seed and fold."""
    ranked = [
        record
        for record in records
        if record.effort is not None
        and (record.link, record.toolchain.split()[0]) == ("emulator", TOOLCHAIN)
        and record.trust != "claimed"
        and store.model_path(record).exists()
    ]
    ranked.sort(key=lambda record: (*_recipe(record), record.seed, record.fold, record.board))
    for _, group in groupby(ranked, _recipe):
        yield next(group)


def _recipe(record: Record) -> tuple[str | float, ...]:
    return *contest_of(record), record.recipe, record.network


def by_model(costs: Iterable[Costs]) -> dict[str, dict[str, Place]]:
    """By a model's digest and the name of a board."""
    return {
        one.model_digest: {board.board: (core, board) for core in one.cores for board in core.boards} for one in costs
    }


def records_on(board: str, records: Sequence[Record], store: Store) -> list[Record]:
    """The records of a board; of recipes that have none there, what they would be, by the costs of their model.

    Raises UserError where there are neither, naming the nearest board of which something is known, and others.
    """
    there = [record for record in records if record.board == board]
    known = {_recipe(record) for record in there}
    costs = by_model(store.read_costs())
    for first in representatives(records, store):
        place = costs.get(first.model_digest, {}).get(board)
        if place is not None and _recipe(first) not in known:
            like = [record for record in records if _recipe(record) == _recipe(first) and record.board == first.board]
            there += [_moved(record, *place) for record in like]
    if not there:
        costed = {name for record in records for name in costs.get(record.model_digest, {})}
        boards = sorted({record.board for record in records} | costed)
        shown = ", ".join(boards[:8]) + (", ..." if len(boards) > 8 else "")
        what = f"nothing is known of {records[0].task} on board {board!r}"
        raise UserError(f"{what}{nearest(board, boards)}; there are: {shown}")
    return there


def built_for(records: Iterable[Record]) -> str:
    """For which boards the programs were built whose costs stand in the place of a board's own, or nothing."""
    return ", ".join(sorted({record.conditions[_BUILT_FOR] for record in records if _BUILT_FOR in record.conditions}))


def _there(core: CoreCost, board: BoardCost) -> dict[str, object]:
    """What records and rows of a board hold under the same names."""
    return {
        "board": board.board,
        "board_flash_bytes": board.board_flash_bytes,
        "board_ram_bytes": board.board_ram_bytes,
        "clock_hz": board.clock_hz,
        "timing": core.timing,
        "flash_bytes": core.flash_bytes,
        "ram_bytes": core.ram_bytes,
        "over_flash_bytes": board.over_flash_bytes,
        "over_ram_bytes": board.over_ram_bytes,
        "fits": not board.over_flash_bytes and not board.over_ram_bytes,
    }


def _moved(record: Record, core: CoreCost, board: BoardCost) -> Record:
    changes = {
        "conditions": {_BUILT_FOR: core.built_for},
        "cycles": core.cycles,
        "cycles_low": core.cycles,
        "cycles_high": core.cycles,
        "cycles_flash": board.cycles_flash,
        "cycles_expected": board.cycles_expected,
        "energy_uj": None,
        "layers": (),
        "command": _command(record.command, board.board),
    }
    return record.model_copy(update=_there(core, board) | changes)


def _command(command: str, board: str) -> str:
    """That makes a record of a recipe on another board."""
    return re.sub(r"--board \S+", f"--board {board}", command)


def rows_elsewhere(rows: Rows, costs: Iterable[Costs], boards: Boards = MappingProxyType({})) -> Rows:
    """Rows of boards that a contest has none of: those of its own board, with what their models cost there.

    Energy is estimated for ``boards``.
    """
    models, made = by_model(costs), []
    ranked = [row for row in rows if not row["unequal"] and row["model"] in models]
    for _, contest in grouped(ranked, *CONTEST):
        home = _home(contest)
        measured = {row["board"] for row in contest}
        for board in sorted({name for row in home for name in models[row["model"]]} - measured):
            places = [(row, models[row["model"]].get(board)) for row in home]
            made += _beside_each_other([_moved_row(row, *place, boards) for row, place in places if place])
    mark_pareto(made)
    return made


def _home(contest: Rows) -> Rows:
    """The rows of the board that most recipes were run on."""
    boards = [group for _, group in grouped(contest, "board")]
    return max(boards, key=len)


def _moved_row(row: Row, core: CoreCost, board: BoardCost, boards: Boards) -> Row:
    cycles = math.nan if core.cycles is None else float(core.cycles)
    flash = math.nan if board.cycles_flash is None else float(board.cycles_flash)
    latency_ms = 1000 * (cycles if math.isnan(flash) else flash) / board.clock_hz
    ends = milliseconds(board.cycles_expected, board.clock_hz) or (math.nan, math.nan)
    known = boards.get(board.board)
    energy = known and known.estimated_uj(None if math.isnan(latency_ms) else latency_ms, board.clock_hz)
    changes = {
        "ran": False,
        "conditions": f"{_BUILT_FOR} {core.built_for}",
        "cycles": cycles,
        "cycles_flash": flash,
        "latency_ms": latency_ms,
        "expected_low_ms": ends[0],
        "expected_high_ms": ends[1],
        "energy_uj": math.nan,
        "energy_estimated_uj": math.nan if energy is None else energy,
        "run_current": known.run_current.told if known and known.run_current else "",
        "pareto": False,
        "commands": tuple(_command(command, board.board) for command in row["commands"]),
    }
    return row | _there(core, board) | changes


def _beside_each_other(rows: Rows) -> Rows:
    """With ratios of costs to those of the reference on this board."""
    references: Mapping[str, Row] = {row["recipe"]: row for row in rows}
    for row in rows:
        reference = references.get(row["reference"])
        for ratio, cost in (("flash_ratio", "flash_bytes"), ("cycles_ratio", "cycles")):
            row[ratio] = reference[cost] / row[cost] if reference else math.nan
    return rows
