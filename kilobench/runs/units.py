# SPDX-License-Identifier: Apache-2.0
"""Cells -> units of work: size, train or compress, evaluate on the host, build and run; cells share what they have in common."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from kilobench.contracts import Network
from kilobench.paths import cache_dir
from kilobench.plugins.names import meter_modules, outside
from kilobench.plugins.spec import canonical
from kilobench.runs.plan import Cell, Model, Point, Sizing, Stage, teaching

Kind = Literal["size", "train", "evaluate", "measure"]
_PRODUCTS = {
    "size": "sizes/{}.json",
    "train": "models/{}.safetensors",
    "evaluate": "evaluations/{}.safetensors",
    "measure": "records/{}.json",
}
_SECONDS = "seconds/{}.json"
_USUAL = {"size": 8.0, "train": 20.0, "evaluate": 5.0, "measure": 4.0}
"""Seconds, for the ETA, where no unit of a kind was ever timed."""


@dataclass(frozen=True)
class Unit:
    """A piece of work that makes one file of the cache."""

    kind: Kind
    key: str
    point: Point
    """A cell that needs it, others may as well; of the recipe no more than what leads to it."""
    stage: int
    """Of the recipe, where it is trained."""
    label: str
    needs: tuple[str, ...]
    """Keys of the units whose products it reads."""
    like: str
    """Units with the same take about as long."""
    plugins: tuple[str, ...]
    """Modules from outside this project that it needs. It is done by a process that has imported these alone, and then ends."""
    recipes: tuple[str, ...] = field(default=(), compare=False)
    """Of a first training: those that need it and can be tried out before it; none where one of them cannot."""

    @property
    def on_real_board(self) -> bool:
        """Whether it needs one, which may be unplugged, or in use."""
        return self.kind == "measure" and self.point.link != "emulator"

    @property
    def product(self) -> str:
        """The file, relative to the cache."""
        return _PRODUCTS[self.kind].format(self.key)

    @property
    def files(self) -> list[str]:
        """All that it writes, relative to the cache; the product, which says that it is done, last."""
        return [*([_SECONDS.format(self.key)] if self.kind == "evaluate" else []), self.product]

    @property
    def inputs(self) -> list[str]:
        """The files that it reads, relative to the cache."""
        forms = [_SECONDS, _PRODUCTS["evaluate"]] if self.kind == "measure" else [_PRODUCTS["train"]]
        return [form.format(key) for key in self.needs for form in forms]

    @property
    def path(self) -> Path:
        """Of the product."""
        return product_path(self.kind, self.key)

    @property
    def lock(self) -> Path:
        """What a process holds that makes the product (kilobench.files.locked)."""
        return self.path.with_suffix(".lock")


def seconds_path(key: str) -> Path:
    """Beside the product of an evaluation: how long that and its trainings took, which is nothing of the model."""
    return cache_dir() / _SECONDS.format(key)


def product_path(kind: Kind, key: str) -> Path:
    """Where the product of the unit with this key is, or will be."""
    return cache_dir() / _PRODUCTS[kind].format(key)


def units(cells: Iterable[Cell]) -> dict[str, Unit]:
    """All units of some cells by key, each after those that it needs."""
    result: dict[str, Unit] = {}
    for cell in cells:
        trained: list[str] = []
        for index, stage in enumerate(cell.model.stages):
            if stage.teacher is not None:
                trained.append(_add(result, _teaching(cell, stage.teacher)))
            trained.append(_add(result, _training(cell, index, tuple(trained))))
        evaluated = _add(result, _evaluation(cell, tuple(trained)))
        _add(result, _measurement(cell, evaluated))
    return result


def size_unit(point: Point, sizing: Sizing) -> Unit:
    """The search for how large the network of a point with a budget may be."""
    recipe = "+".join(map(canonical, sizing.methods))
    task, network = canonical(sizing.task), canonical(sizing.network)
    return Unit(
        kind="size",
        key=sizing.key,
        point=point,
        stage=0,
        label=f"{task} {recipe}: size for {point.budget}",
        needs=(),
        like=f"{task} {network} {recipe} size",
        plugins=outside([sizing.task, sizing.network, *sizing.methods]),
    )


def _add(result: dict[str, Unit], unit: Unit) -> str:
    if (same := result.get(unit.key)) is not None:
        recipes = (*same.recipes, *unit.recipes) if same.recipes and unit.recipes else ()
        unit = replace(same, recipes=tuple(dict.fromkeys(recipes)))
    result[unit.key] = unit
    return unit.key


def _training(cell: Cell, stage: int, before: tuple[str, ...]) -> Unit:
    stages = cell.model.stages[: stage + 1]
    methods = [one.method for one in stages if one.method is not None]
    recipe, label = "+".join(map(canonical, methods)), stages[stage].label
    point = replace(cell.point, recipe=recipe, ends=tuple(one.span.end for one in stages))
    if cell.model.budget and any(method.resizes for method in methods):  # how large depends on what follows
        point, methods = cell.point, list(cell.model.methods)
    return Unit(
        kind="train",
        key=cell.model.stages[stage].key,
        point=point,
        stage=stage,
        label=_numbered(cell, f"{' '.join(filter(None, (canonical(cell.model.task), recipe)))}: {label}"),
        needs=before,
        like=_like(cell, label, cell.point.threads),
        plugins=outside([cell.model.task, cell.model.network, *methods, *_teachers(stages)]),
        recipes=_tried(cell) if stage == 0 else (),
    )


def _teaching(cell: Cell, teacher: Model) -> Unit:
    """The training of another network, the same as if it were for itself; there is no recipe that it is to be tried with."""
    point = teaching(cell.point, canonical(teacher.network))
    return replace(_training(replace(cell, point=point, model=teacher), 0, ()), recipes=())


def _tried(cell: Cell) -> tuple[str, ...]:
    """The recipe of a cell, where it can be tried out before the first training: without more plug-ins, or a size to find."""
    model = cell.model
    more = set(outside(model.methods)) - set(outside([model.task, model.network]))
    return () if more or model.budget else (cell.point.recipe,)


def _evaluation(cell: Cell, trained: tuple[str, ...]) -> Unit:
    key = cell.model.evaluation_key
    return Unit(
        kind="evaluate",
        key=key,
        point=cell.point,
        stage=0,
        label=_numbered(cell, f"{cell.model.label}: accuracy of the C on the host"),
        needs=trained,
        like=_like(cell, "evaluate", cell.model.recipe),
        plugins=_plugins(cell),
    )


def _measurement(cell: Cell, evaluated: str) -> Unit:
    return Unit(
        kind="measure",
        key=cell.key,
        point=cell.point,
        stage=0,
        label=f"{cell.label}: build and run",
        needs=(evaluated,),
        like=_like(cell, cell.model.recipe, cell.board.name, cell.point.link),
        plugins=tuple(sorted({*_plugins(cell), *meter_modules(cell.point.power)})),
    )


def _plugins(cell: Cell) -> tuple[str, ...]:
    methods = (stage.method for stage in cell.model.stages if stage.method is not None)
    return outside([cell.model.task, cell.model.network, *methods, *_teachers(cell.model.stages)])


def _teachers(stages: Iterable[Stage]) -> list[Network]:
    return [stage.teacher.network for stage in stages if stage.teacher is not None]


def _numbered(cell: Cell, label: str) -> str:
    """With seed and fold, where there are several."""
    fold = f", fold {cell.point.fold}" if cell.model.task.folds > 1 else ""
    return f"{label}{f', seed {cell.point.seed}' if cell.point.seed else ''}{fold}"


def _like(cell: Cell, *words: object) -> str:
    model = cell.model
    return " ".join(map(str, (canonical(model.task), canonical(model.network), model.training_changes, *words)))


def _check(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


class Costs:
    """Seconds that units took, a line each in the cache: its CRC-32 and JSON; what is torn or damaged is passed over."""

    def __init__(self) -> None:
        self._path = cache_dir() / "costs.jsonl"
        self._seconds: dict[str, float] = {}
        kinds: dict[str, list[float]] = {}
        content = self._path.read_bytes() if self._path.is_file() else b""
        for line in content.decode(errors="replace").splitlines():
            try:
                check, _, text = line.partition(" ")
                if check != _check(text):
                    continue
                entry = json.loads(text)
                self._seconds[entry["like"]] = entry["seconds"]
                kinds.setdefault(entry["kind"], []).append(entry["seconds"])
            except (ValueError, TypeError, KeyError):
                continue
        self._means = _USUAL | {kind: sum(values) / len(values) for kind, values in kinds.items()}

    def add(self, unit: Unit, seconds: float) -> None:
        """Remember what a unit took."""
        entry = {"kind": unit.kind, "like": unit.like, "key": unit.key, "seconds": round(seconds, 2)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            text = json.dumps(entry)
            os.write(handle, f"{_check(text)} {text}\n".encode())
        finally:
            os.close(handle)

    def known(self, unit: Unit) -> bool:
        """Whether one like it was timed before."""
        return unit.like in self._seconds

    def seconds(self, unit: Unit) -> float:
        """As before; else the mean of its kind."""
        return self._seconds.get(unit.like, self._means[unit.kind])
