# SPDX-License-Identifier: Apache-2.0
"""A model on several boards at a time: its C is compiled for the host once, and what is known already is not measured again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Event, Lock

from pydantic import TypeAdapter, ValidationError

from kilobench.boards import Board
from kilobench.closure import hashed
from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel
from kilobench.contracts import CellError, Progress, UserError
from kilobench.data.labelled import Labelled
from kilobench.data.mlperf import reference_model
from kilobench.files import intact, read_kept, write_atomically, write_kept
from kilobench.keys import board_facts, measuring_code
from kilobench.measuring.evaluate import MEASURED_INPUTS, Reference, reference
from kilobench.measuring.onboard import Measurement
from kilobench.measuring.quality import quality
from kilobench.measuring.recording import Where, measured_on
from kilobench.paths import cache_dir, log_path
from kilobench.plugins.registry import Registry
from kilobench.progress import OverallProgress
from kilobench.record import accuracy
from kilobench.report.facts import Facts, Judged, facts_of, on_board
from kilobench.report.models import Subject
from kilobench.results.packed import content_of
from kilobench.runs.plan import check_link, plugin_operators
from kilobench.scratch import temporary_folder
from kilobench.toolchain import toolchain_name

ENOUGH_INPUTS = 2
"""Of a model without a record: the second shows whether cycles depend on the input. Where they do, MEASURED_INPUTS are run."""
ALL = "all"
"""Instead of a board's name: every one that can be emulated."""
BOARD_SECONDS = 4.0
"""That one board usually takes."""
_MEASUREMENT = TypeAdapter(Measurement)


@dataclass(frozen=True)
class Found:
    """A model that was measured on boards: one measurement for each board of the facts."""

    facts: Facts
    measurements: tuple[Measurement, ...]


def measure_subject(
    subject: Subject, places: Sequence[Where], progress: OverallProgress, labelled: Labelled | None = None
) -> Found:
    """Measure a model on some boards, as many at a time as this machine has cores, and on labelled inputs before, on the host.

    Measurements on emulated boards are kept in the cache. Raises the first error of a build or a board, as CellError, and
    UserError for inputs that do not suit the model.
    """
    with temporary_folder() as folder:
        judged = None if labelled is None else _judged(subject, labelled, folder / "judged")
        (code := folder / "model").mkdir()
        memory = emit(subject.graph, code, subject.title, subject.benchmark)
        facts = facts_of(subject.name, subject.rounding, subject.graph, memory)
        bench = _Bench(subject, code, folder, {where.board.name: _key(subject, where) for where in places})
        measured = _side_by_side(bench.measured, places, progress)
    links = (where.link.partition(":")[0] for where in places)
    boards = [on_board(w.board, link, one) for w, link, one in zip(places, links, measured, strict=True)]
    known = {"reference": _reference(subject), "judged": judged, "boards": tuple(boards)}
    return Found(facts.model_copy(update=known), tuple(measured))


def chosen(registry: Registry, names: Sequence[str], link: str = "emulator", power: str = "") -> list[Board]:
    """Boards by name, each once. Raises UserError for one that there is not, or that cannot be run as asked."""
    if ALL in names:
        listed = [entry.value for _, entry in sorted(registry.entries["boards"].items())]
        boards = [board for board in listed if isinstance(board, Board) and board.core.timing]
    else:
        boards = [registry.get("boards", name) for name in dict.fromkeys(names)]
    if len(boards) > 1 and link != "emulator":
        raise UserError(f"--on {link} measures one board at a time; {len(boards)} are named")
    for board in boards:
        check_link(board, link, power)
    return boards


def _reference(subject: Subject) -> str:
    return "" if subject.file is None else reference_model(subject.file.stem, content_of(subject.file))


def _judged(subject: Subject, labelled: Labelled, folder: Path) -> Judged:
    found = quality(subject.graph, bool(subject.rounding), labelled, folder)
    return Judged(
        inputs=labelled.title,
        digest=labelled.digest(),
        count=len(labelled.names),
        accuracy=None if found.correct is None else accuracy(found.correct),
        auc=found.auc,
        target=None if labelled.published is None else labelled.published.benchmark.target,
    )


class _Bench:
    """Measures a model whose C is in a folder; several threads may."""

    def __init__(self, subject: Subject, code: Path, folder: Path, keys: Mapping[str, str]) -> None:
        """``folder`` is for builds; ``keys`` by board, made before: Python 3.11 parses code in one thread at a time."""
        self._subject, self._code, self._folder, self._keys = subject, code, folder, keys
        self._lock = Lock()

    def measured(self, where: Where, progress: Progress) -> Measurement:
        """From the cache, or anew."""
        key, build = self._keys[where.board.name], self._folder / where.board.name
        if where.link == "emulator" and (kept := _kept(key)):
            return kept
        try:
            measured = self._fresh(build, where, progress)
        except CellError as error:
            raise CellError(f"{error}{_kept_log(build, key)}") from None
        return _keep(key, measured)

    def _fresh(self, build: Path, where: Where, progress: Progress) -> Measurement:
        def on(given: Reference) -> Measurement:
            return measured_on(where, self._code, self._subject.graph, given, build, progress)

        if self._subject.published is not None:
            return on(self._subject.published.reference)
        with self._lock:
            everything = self._reference
        if where.link != "emulator":
            return on(everything)
        few = on(Reference(*(part[:ENOUGH_INPUTS] for part in vars(everything).values())))
        return few if len(set(few.cycles)) < 2 else on(everything)

    @cached_property
    def _reference(self) -> Reference:
        """What host C makes of all measured inputs, compiled when that is first asked for."""
        return reference(self._subject.graph, HostModel(self._code), MEASURED_INPUTS)


class _Stopped(Exception):
    """Another board has failed, or the user has interrupted."""


def _side_by_side(
    measure: Callable[[Where, Progress], Measurement], places: Sequence[Where], progress: OverallProgress
) -> list[Measurement]:
    """Threads are enough: compilers are processes, and the emulator runs outside of Python's lock."""
    stop = Event()

    def on(where: Where) -> Measurement:
        name = where.board.name

        def tell(text: str, done: float, total: float) -> None:
            if stop.is_set():
                raise _Stopped
            progress.update(name, text, done, total)

        progress.begin(name, f"{name}: building and running", BOARD_SECONDS)
        measured = measure(where, tell)
        progress.end(name, None)
        return measured

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = [pool.submit(on, where) for where in places]
        try:
            for ended in wait(waiting, return_when=FIRST_EXCEPTION).done:
                ended.result()
            return [future.result() for future in waiting]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _key(subject: Subject, where: Where) -> str:
    """Of all that a measurement depends on: the model, what it is held to, the board, and what builds and runs it."""
    stored = subject.published and subject.published.reference
    held_to = [stored.outputs.tobytes().hex(), stored.checksums.tolist()] if stored else [ENOUGH_INPUTS]
    how = where.link, toolchain_name(where.toolchain) if where.link == "emulator" else where.power
    code = measuring_code(where.link.partition(":")[0]), plugin_operators()
    return hashed(
        subject.graph.digest(), subject.title, subject.benchmark, held_to, board_facts(asdict(where.board)), how, code
    )


def _paths(key: str) -> tuple[Path, Path]:
    """Of a measurement, and of its program."""
    return cache_dir() / "measured" / f"{key}.json", cache_dir() / "firmware" / f"{key}.elf"


def _kept(key: str) -> Measurement | None:
    """What was measured before, if it is there as it was written."""
    path, program = _paths(key)
    if (content := read_kept(path)) is None or not intact(program):
        return None
    try:
        return replace(_MEASUREMENT.validate_json(content), program=program)
    except ValidationError:  # of another version
        return None


def _keep(key: str, measured: Measurement) -> Measurement:
    path, program = _paths(key)
    write_kept(program, measured.program.read_bytes())
    write_kept(path, _MEASUREMENT.dump_json(measured))
    return replace(measured, program=program)


def _kept_log(build: Path, key: str) -> str:
    """Where can be read what a build wrote that made no program."""
    text = b"".join(log.read_bytes() for log in sorted(build.glob("*.log")))
    if not text or any(build.rglob("firmware.elf")):
        return ""
    kept = log_path(key)
    write_atomically(kept, text)
    return f" (what the build wrote: {kept})"
