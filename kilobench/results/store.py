# SPDX-License-Identifier: Apache-2.0
"""Records as files: one JSON file per cell, under a name that people can read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from kilobench.contracts import UserError
from kilobench.files import digest_path, write_atomically
from kilobench.plugins.spec import nearest
from kilobench.record import TRUST, Costs, Record, TooLarge, Unsuited
from kilobench.results.packed import MODEL_BYTES, SUFFIX, content_of, pack

_Form = TypeVar("_Form", Costs, TooLarge, Unsuited)
_MAX_BYTES = 1 << 24


class Store:
    """A folder of records, and beside it the folder ``models`` of the models that they are about."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = folder.parent / "models"
        self.costs = folder.parent / "costs"
        self._too_large = folder.parent / "too-large"
        self._unsuited = folder.parent / "unsuited"

    def model_path(self, record: Record) -> Path:
        """``models/DIGEST[-BUDGET].safetensors.xz``, as two budgets may give one model; without ``.xz`` where it is not packed.

        Models over MODEL_BYTES are not there.
        """
        plain, packed = self._model_paths(record)
        return plain if plain.exists() else packed

    def publish(self, record: Record, model: Path) -> None:
        """Keep the model file of a record (kilobench.measuring.evaluate), packed, if it is there and not too large.

        Where Python was built without LZMA it is kept as it is.
        """
        if not model.exists() or model.stat().st_size > MODEL_BYTES:
            return
        path, content = self.model_path(record), content_of(model)
        with suppress(UserError):
            if path.exists() and content_of(path) == content:
                return
        plain, packed = self._model_paths(record)
        try:
            pack(content, packed)
        except ImportError:
            write_atomically(plain, content)
        else:
            plain.unlink(missing_ok=True)

    def models_of_none(self, records: Iterable[Record]) -> list[Path]:
        """The models that none of ``records`` is about: a run left those whose records it replaced."""
        known = set(map(self.model_path, records))
        known |= set(map(digest_path, known))
        return [path for path in sorted(self.models.glob("*.safetensors*")) if path not in known]

    def _model_paths(self, record: Record) -> tuple[Path, Path]:
        """As it is, and packed."""
        name = "-".join(filter(None, (record.model_digest, re.sub("[=,]", "-", record.budget))))
        return self.models / f"{name}.safetensors", self.models / f"{name}.safetensors{SUFFIX}"

    def path(self, record: Record) -> Path:
        """``TASK/NETWORK/RECIPE@BOARD-LINK-TOOLCHAIN[-TRAINING]-effortN[-BUDGET]-seedN-foldN.json``, brackets as dashes."""
        effort = "" if record.effort is None else f"effort{record.effort:g}"
        how = (record.toolchain.split()[0], record.training_changes, effort, record.budget)
        where = "-".join(filter(None, (record.board, record.link, *how)))
        name = f"{record.recipe}@{where}-seed{record.seed}-fold{record.fold}"
        parts = [
            re.sub(r"[^A-Za-z0-9_.=+@-]+", "-", part.replace("]", "")) for part in (record.task, record.network, name)
        ]
        return self.folder.joinpath(*parts[:2]) / f"{parts[2]}.json"

    def write(self, record: Record) -> Path:
        """Write a record atomically; one of the same figures of which no less is known is left, one of another form replaced."""
        path = self.path(record)
        with suppress(UserError):
            if path.is_file() and timeless(there := self.read(path)) == timeless(record) and not more(record, there):
                return path
        write_atomically(path, content(record))
        return path

    def read(self, path: Path) -> Record:
        """Raises UserError naming file and key where a file is no valid record, or has more than 16 MB."""
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path} is no valid record: it has more than {_MAX_BYTES} bytes")
        try:
            return Record.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise UserError(f"{path} is no valid record: {where}: {first['msg']}") from None

    def read_all(self) -> list[Record]:
        """Every record, in the order of their file names."""
        return [self.read(path) for path in sorted(self.folder.rglob("*.json"))]

    def write_too_large(self, row: TooLarge) -> None:
        """Into ``too-large/TASK-NETWORK-RECIPE-....json`` beside the records."""
        facts = (
            row.task,
            row.network,
            row.recipe,
            row.board,
            row.training_changes,
            f"effort{row.effort:g}",
            row.budget,
        )
        _write_row(self._too_large, facts, row)

    def write_unsuited(self, row: Unsuited) -> None:
        """Into ``unsuited/TASK-NETWORK-RECIPE.json`` beside the records."""
        _write_row(self._unsuited, (row.task, row.network, row.recipe), row)

    def read_unsuited(self) -> list[Unsuited]:
        """What methods have said not to suit them, in the order of file names. Raises UserError as ``read_too_large``."""
        return [_read(path, Unsuited, "valid row") for path in sorted(self._unsuited.glob("*.json"))]

    def read_too_large(self) -> list[TooLarge]:
        """What keeps no budget, in the order of file names. Raises UserError naming a file that says something else."""
        return [_read(path, TooLarge, "valid row") for path in sorted(self._too_large.glob("*.json"))]

    def costs_path(self, of: Record | Costs) -> Path:
        """``costs/TASK/NETWORK/RECIPE[-TRAINING]-effortN[-BUDGET].json``, brackets as dashes."""
        how = filter(None, (of.recipe, of.training_changes, f"effort{of.effort:g}", of.budget))
        parts = [
            re.sub(r"[^A-Za-z0-9_.=+-]+", "-", part.replace("]", "")) for part in (of.task, of.network, "-".join(how))
        ]
        return self.costs.joinpath(*parts[:2]) / f"{parts[2]}.json"

    def write_costs(self, costs: Costs) -> None:
        """Write what a model takes on all boards."""
        content = json.dumps(costs.model_dump(by_alias=True), indent=1) + "\n"
        write_atomically(self.costs_path(costs), content.encode())

    def read_costs(self) -> list[Costs]:
        """What models take on all boards, in the order of file names. Raises UserError naming a file that says something else."""
        return [_read(path, Costs, "file of costs") for path in sorted(self.costs.rglob("*.json"))]

    def costs_of(self, record: Record) -> Costs | None:
        """What the model of a record's recipe takes on all boards; None where nothing is known of this one."""
        if record.effort is None:
            return None
        path = self.costs_path(record)
        found = _read(path, Costs, "file of costs") if path.is_file() else None
        return found if found and found.model_digest == record.model_digest else None

    def select(self, **wanted: str | None) -> list[Record]:
        """The records whose fields, as in ``task="esc10"``, have the wanted values; None wants nothing.

        Raises UserError naming the nearest value that there is, and others, where none has.
        """
        records = self.read_all() if self.folder.is_dir() else []
        if not records:
            raise UserError(f"{self.folder} holds no records; kilobench run makes some")
        for name, value in wanted.items():
            there = sorted({str(getattr(record, name)) for record in records})
            records = [record for record in records if value in (None, getattr(record, name))]
            if not records:
                before = [
                    f"{other} {wanted[other]}" for other in list(wanted)[: list(wanted).index(name)] if wanted[other]
                ]
                among = f" among those of {', '.join(before)}" if before else ""
                shown = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
                raise UserError(
                    f"no records of {name} {value!r}{among}{nearest(str(value), there)}; there are: {shown}"
                )
        return records


def _write_row(folder: Path, facts: Iterable[str], row: TooLarge | Unsuited) -> None:
    name = re.sub(r"[^A-Za-z0-9_.=+@-]+", "-", "-".join(filter(None, facts)).replace("]", ""))
    text = json.dumps(row.model_dump(by_alias=True), indent=1) + "\n"
    write_atomically(folder / f"{name}.json", text.encode())


def _read(path: Path, form: type[_Form], what: str) -> _Form:
    try:
        return form.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path} is no {what}: {error.errors()[0]['msg']}") from None


def content(record: Record) -> bytes:
    """Of the file of a record."""
    return (json.dumps(record.model_dump(by_alias=True), indent=1) + "\n").encode()


def timeless(record: Record) -> dict[str, object]:
    """All of a record but when and by which commit it was made, and how much is known of it."""
    return record.model_dump(exclude={"times", "git_commit", "trust"})


def more(record: Record, than: Record) -> bool:
    """Whether more is known of a record than of another."""
    return TRUST.index(record.trust) > TRUST.index(than.trust)
