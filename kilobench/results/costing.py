# SPDX-License-Identifier: Apache-2.0
"""What published models take on all emulated boards, made again where it is of other code than today's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from kilobench.boards import Board
from kilobench.compile.emit import emit
from kilobench.contracts import CellError, Progress, UserError, silent
from kilobench.keys import family_key
from kilobench.measuring.evaluate import EvaluatedModel, load_model_file
from kilobench.measuring.expected import cycles_expected
from kilobench.measuring.family import FamilyCost, measure_family
from kilobench.measuring.recording import title
from kilobench.plugins.cores import timing_label
from kilobench.plugins.registry import Registry
from kilobench.record import SCHEMA, BoardCost, CoreCost, Costs, Record
from kilobench.results.elsewhere import TOOLCHAIN, representatives
from kilobench.results.packed import unpacked
from kilobench.results.store import Store
from kilobench.scratch import temporary_folder
from kilobench.sources import code_has_changed
from kilobench.toolchain import toolchain_name

_USUAL_SECONDS = 8.0
"""Of a model on a core, before it is known."""


@dataclass(frozen=True)
class Costing:
    """A model whose costs on some cores are to be made: a step for kilobench.runs.executors."""

    record: Record
    cores: tuple[tuple[str, str], ...]
    """Names of cores and the keys that the costs on their boards get."""
    plugins: tuple[str, ...] = ()
    on_real_board: bool = False

    @property
    def key(self) -> str:
        """Tells it from others."""
        return f"costs {self.record.model_digest} {self.record.budget}"

    @property
    def task(self) -> str:
        """Its model's."""
        return self.record.task

    @property
    def label(self) -> str:
        """For people."""
        budget = f" {self.record.budget}" if self.record.budget else ""
        return f"{self.record.task} {self.record.recipe}{budget} on all boards"

    @property
    def seconds(self) -> float:
        """That it may take."""
        return _USUAL_SECONDS * len(self.cores)


def costings(
    records: Iterable[Record], store: Store, registry: Registry, *, again: bool = False, missing: bool = False
) -> Iterator[Costing]:
    """What there is to do for the recipes of ``records`` that may be ranked. Builds nothing.

    Costs of other code than today's, or all of them ``again``, and those that are ``missing``, if they are wanted.
    """
    families = {name: list(map(asdict, boards)) for name, boards in emulated_families(registry)}
    for record in representatives(records, store):
        costs = store.costs_of(record)
        if costs is None and not missing and not store.costs_path(record).is_file():
            continue
        evaluation = evaluation_key(store.model_path(record))
        keys = {name: family_key(evaluation, boards, TOOLCHAIN) for name, boards in families.items()}
        there = {core.core: core.key for core in costs.cores} if costs else {}
        wanted = tuple((name, key) for name, key in keys.items() if again or there.get(name) != key)
        if wanted or there.keys() != keys.keys():
            yield Costing(record, wanted)


def outdated(records: Iterable[Record], store: Store) -> Iterator[Costs]:
    """Costs of models that are no longer the first of a recipe that may be ranked."""
    wanted = {store.costs_path(record): record.model_digest for record in representatives(records, store)}
    return (costs for costs in store.read_costs() if wanted.get(store.costs_path(costs)) != costs.model_digest)


def evaluation_key(path: Path) -> str:
    """Of a model's file; of one that cannot be read none, so that its records are named when they are to be made."""
    return _evaluation_key(path, path.stat().st_mtime_ns if path.exists() else 0)


@cache
def _evaluation_key(path: Path, changed_ns: int) -> str:
    try:
        with unpacked(path) as file:
            return load_model_file(file).about.key
    except (CellError, UserError):
        return ""


def emulated_families(registry: Registry) -> list[tuple[str, tuple[Board, ...]]]:
    """The boards that can be emulated, by core."""
    listed = [entry.value for _, entry in sorted(registry.entries["boards"].items())]
    boards = sorted((b for b in listed if isinstance(b, Board) and b.core.timing), key=lambda b: (b.core.name, b.name))
    return [(core, tuple(group)) for core, group in groupby(boards, lambda board: board.core.name)]


def cost(unit: Costing, store: Store, registry: Registry, progress: Progress) -> None:
    """Make the costs of a model on the cores that the unit names, and write them beside those that it has.

    Raises CellError where a build or a board fails, and UserError where the code changes meanwhile.
    """
    record = unit.record
    with unpacked(store.model_path(record)) as file:
        model = load_model_file(file)
    families = dict(emulated_families(registry))
    there = store.costs_of(record)
    cores = {core.core: core for core in there.cores} if there else {}
    for index, (name, key) in enumerate(unit.cores):
        cores[name] = core_cost(name, key, families[name], model, _part(progress, index, len(unit.cores)))
    if code_has_changed():
        raise UserError("the source code has changed since it began; start it again")
    store.write_costs(
        Costs(
            schema=SCHEMA,
            task=record.task,
            network=record.network,
            training_changes=record.training_changes,
            recipe=record.recipe,
            effort=record.effort or 0.0,
            budget=record.budget,
            model_digest=record.model_digest,
            toolchain=toolchain_name(TOOLCHAIN),
            cores=tuple(cores[name] for name in families),
        )
    )


def _part(progress: Progress, index: int, count: int) -> Progress:
    def tell(text: str, done: float, total: float) -> None:
        progress(text, index + done / total, count)

    return tell


def core_cost(
    name: str, key: str, boards: Sequence[Board], model: EvaluatedModel, progress: Progress = silent
) -> CoreCost:
    """What a model takes on some boards of the core ``name``, by a program that is built for the largest. Raises CellError."""
    with temporary_folder() as folder:
        (code := folder / "model").mkdir()
        emit(model.graph, code, title(model.about))
        found = measure_family(code, model.graph, model.reference, boards, folder / "build", progress)
    return CoreCost(
        core=name,
        timing=timing_label(found.built_for.core),
        key=key,
        built_for=found.built_for.name,
        flash_bytes=found.flash_bytes,
        ram_bytes=found.ram_bytes,
        cycles=found.cycles,
        boards=tuple(_board_costs(found)),
    )


def _board_costs(found: FamilyCost) -> Iterator[BoardCost]:
    for member in found.members:
        waits = None if found.cycles is None or member.flash_waits is None else member.flash_waits
        yield BoardCost(
            board=member.board.name,
            clock_hz=member.board.clock_hz,
            board_flash_bytes=member.board.flash.bytes,
            board_ram_bytes=member.board.ram_bytes,
            over_flash_bytes=member.over_flash_bytes,
            over_ram_bytes=member.over_ram_bytes,
            cycles_flash=None if waits is None or found.cycles is None else found.cycles + waits,
            cycles_expected=cycles_expected(member.board, found.cycles, waits),
        )
