# SPDX-License-Identifier: Apache-2.0
"""Trained models as files: one .safetensors file, which holds data and no code.

Tensors are the parameters and buffers by their dotted names. The one metadata entry, ``kilobench``, is JSON: ``version``,
``facts`` (whatever the writer wants to know again), ``modules`` and ``tensors`` (kilobench.learn.moduletree).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kilobench.contracts import CellError
from kilobench.files import write_kept

if TYPE_CHECKING:
    from torch import nn

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

_VERSION = 1
_MAX_HEADER = 2**24
"""Bytes; 10 000 modules fit."""


def save_model(model: nn.Module, path: Path, facts: dict[str, JSON]) -> None:
    """Write a model with its facts into the cache (kilobench.files); tensors are written as contiguous ones.

    Raises CellError naming module and attribute where the model holds what is no plain data.
    """
    from safetensors.torch import save

    from kilobench.learn.moduletree import describe

    tree, tensors = describe(model)
    text = json.dumps({"version": _VERSION, "facts": facts, **tree})
    if len(text) > _MAX_HEADER // 2:  # quotes are escaped in the header
        raise CellError(f"{path.name}: the description of the model takes {len(text)} bytes, more than a file can hold")
    try:
        content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        data = save(content, {"kilobench": text})
    except (KeyError, ValueError, RuntimeError) as error:  # a dtype or layout that the format lacks
        raise CellError(f"{path.name}: a tensor cannot be stored: {_line(error)}") from None
    write_kept(path, data)


def load_model(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model, equal to the bit to the one that was saved, and its facts.

    Nothing is imported but layers and networks of kilobench, and no code of the file is run, as it has none. Raises CellError in
    one line for a file that is damaged or names a class that is not to be used.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from kilobench.learn.moduletree import rebuild

    tree = _description(path)
    try:
        return rebuild(tree, load_file(path)), tree["facts"]
    except CellError as error:
        raise CellError(f"{path}: {error}") from None
    except (
        SafetensorError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,  # and RecursionError
        SyntaxError,
        OSError,
    ) as error:
        raise CellError(f"{path} is no model that can be loaded: {_line(error)}") from None


def read_facts(path: Path) -> dict[str, Any]:
    """The facts alone, without torch. Raises CellError as load_model does."""
    return _description(path)["facts"]


def _description(path: Path) -> dict[str, Any]:
    """What the header says of a model (layout of the format: huggingface.co/docs/safetensors)."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > _MAX_HEADER:
                raise ValueError(f"a header of {size} bytes, above {_MAX_HEADER}")
            description = json.loads(json.loads(file.read(size))["__metadata__"]["kilobench"])
        if description["version"] != _VERSION or not isinstance(description["facts"], dict):
            raise ValueError(f"version {description['version']!r}, not {_VERSION}, or no facts")
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CellError(f"{path} is no model of kilobench: {_line(error)}") from None
    return description


def _line(error: BaseException) -> str:
    text = str(error).split("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]
