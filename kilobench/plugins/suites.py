# SPDX-License-Identifier: Apache-2.0
"""Suite files, as written: tasks x recipes x boards x seeds x folds, or model files of others x boards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kilobench.contracts import EFFORT, UserError
from kilobench.plugins.fields import typed
from kilobench.yamlfile import read_mapping


@dataclass(frozen=True)
class Suite:
    """What to run, all as written; ``network`` None means each task's own.

    ``training`` changes the tasks' own, as in ``epochs=40,mix=0.5``; a file may have a mapping there.
    ``effort``: all that a recipe trains, in trainings of its task. ``budgets``: every recipe is made as large as each of them
    allows, as in ``64KiB`` of flash or ``ram=16KiB,latency=100ms``, on the first board if they name none; ``none`` stands for
    networks and methods of the size that they say.
    ``validation`` measures on a part of the training data instead of the test fold, and writes no records.
    """

    title: str
    tasks: tuple[str, ...]
    recipes: tuple[str, ...]
    boards: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    folds: tuple[int, ...] | Literal["all"] = (0,)
    network: str | None = None
    training: str = ""
    effort: float = EFFORT
    budgets: tuple[str, ...] = ("none",)
    validation: bool = False


@dataclass(frozen=True)
class ModelFile:
    """A published model; ``file`` and ``inputs``, labelled ones if there are any, lie in the suite's folder."""

    file: str
    sha256: str
    benchmark: str
    """Of MLPerf Tiny, as in ``ic01``."""
    rounding: Literal["once", "tflite"] = "once"
    inputs: str = ""


@dataclass(frozen=True)
class ModelSuite:
    """Model files to measure, by the names of their reports; ``folder`` is looked for as that of a data set is."""

    title: str
    folder: str
    models: Mapping[str, ModelFile]
    boards: tuple[str, ...]


def read_suite(path: Path) -> Suite | ModelSuite:
    """Read a suite's file; raises UserError naming file and key. What its names stand for is not asked (kilobench.runs.suite)."""
    values = read_mapping(path, "a suite")
    return _model_suite(path, values) if "models" in values else _suite(path, values)


def _model_suite(path: Path, values: dict[str, Any]) -> ModelSuite:
    values = _listed(path, typed(path, values, ModelSuite))
    if not isinstance(models := values["models"], dict) or not models:
        raise UserError(f"{path}: models: {models!r} is no mapping of names to files")
    values["models"] = {name: _model_file(path, name, model) for name, model in models.items()}
    return ModelSuite(**values)


def _model_file(path: Path, name: Any, values: Any) -> ModelFile:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", name):
        raise UserError(f"{path}: models: a name is of lower-case letters, digits and dashes, 60 at most, not {name!r}")
    if not isinstance(values, dict):
        raise UserError(f"{path}: models.{name}: {values!r} is no mapping, as {{file: ..., sha256: ...}}")
    try:
        model = ModelFile(**typed(path, values, ModelFile))
    except UserError as error:
        raise UserError(f"{path}: models.{name}: {str(error).removeprefix(f'{path}: ')}") from None
    if not re.fullmatch(r"[0-9a-f]{64}", model.sha256):
        raise UserError(f"{path}: models.{name}: sha256: {model.sha256!r} is not of 64 hexadecimal digits")
    return model


def _suite(path: Path, values: dict[str, Any]) -> Suite:
    if isinstance(training := values.get("training"), dict):
        values["training"] = ",".join(f"{key}={_written(path, key, value)}" for key, value in training.items())
    return Suite(**_listed(path, typed(path, values, Suite)))


def _listed(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """The same values, whose lists are neither empty nor name anything twice."""
    for key, value in values.items():
        if value == ():
            raise UserError(f"{path}: {key}: the list is empty")
        if isinstance(value, tuple) and len(set(value)) < len(value):
            twice = next(item for item in value if value.count(item) > 1)
            raise UserError(f"{path}: {key}: {twice!r} is given twice")
    return values


def _written(path: Path, key: str, value: Any) -> str:
    """A value of a training as in ``epochs=40``."""
    if not isinstance(value, bool | int | float | str):
        raise UserError(f"{path}: training: {key}: {value!r} is neither a number nor a text nor true nor false")
    return str(value).lower() if isinstance(value, bool) else str(value)
