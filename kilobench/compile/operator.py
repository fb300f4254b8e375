# SPDX-License-Identifier: Apache-2.0
"""What the engine asks about an operator, and where operators are found.

A file of kilobench/compile/ops, or of the folder ops of a plug-in, is an operator: it holds one subclass of Operator, and its
name is the kind. Files whose names begin with an underscore are no operators.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kilobench.compile.graph import DType, Graph, Op, Tensor
from kilobench.contracts import UserError
from kilobench.lines import reason
from kilobench.paths import operators_dir
from kilobench.plugins.loading import load_file
from kilobench.plugins.operators import kernels_in, operator_files
from kilobench.plugins.spec import nearest

Params: TypeAlias = Mapping[str, tuple[str, str]]
Field: TypeAlias = int | float | tuple[Any, ...] | NDArray[Any]

_SUFFIX = {"float32": "f32", "int8": "s8", "int16": "s16", "uint8": "u8", "int32": "s32", "bit": "b1"}
_ALWAYS = object()


@dataclass(frozen=True)
class Attribute:
    """What an attribute may be: a switch, True or False, if ``count`` is 0; else so many whole numbers from ``low`` to ``high``,
    of which one is an int and several are a tuple. One with a ``default`` is left out of a graph where it has that value, so that
    graphs stay what they are when an operator learns something new.
    """

    low: int = 0
    high: int = 0
    count: int = 0
    default: Any = _ALWAYS

    @property
    def optional(self) -> bool:
        """Whether it has a default."""
        return self.default is not _ALWAYS

    def allows(self, value: Any) -> bool:
        """Whether a value of any type is one of these."""
        if self.count == 0:
            return type(value) is bool
        values = value if self.count > 1 else (value,)
        whole = isinstance(values, tuple) and len(values) == self.count
        return whole and all(type(number) is int and self.low <= number <= self.high for number in values)


class Operator:
    """One node of a graph, and all that is to be known of it. Subclasses say what is different from what is here.

    ``sources`` are the tensors that it reads, ``source`` the first of them, ``output`` the one that it makes; ``params`` are
    those of ``op``, and ``attrs`` too, with defaults where it leaves them out.
    """

    types: ClassVar[Mapping[tuple[DType, DType], Params]]
    """Its parameters by type of input and output. Each has a type and a letter for each axis of its shape: O output and I input
    channels, o and i their 32-bit words, H x W the kernel, a digit itself. Words have no unused bit set, floats are finite,
    a ``shift`` is within 1 to 62, or 64 more for two roundings, and a ``multiplier`` not negative."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Parameters that may be left out, all or none of them."""
    attributes: ClassVar[Mapping[str, Attribute]] = {}
    inputs: ClassVar[int | None] = 1
    """How many tensors it reads, all of one type and, unless ``check_sources`` says otherwise, shape; None for any number, of
    which its kernel gets an array of pointers."""
    in_strips: ClassVar[bool] = False
    """Whether its kernel takes a region, and makes that part of the output of those parts of the input that ``along`` names."""
    min_pixels: ClassVar[int] = 1
    """Which a strip must have, lest calling the kernel costs more than its work."""
    takes_scratch: ClassVar[bool] = False
    """Whether its kernel takes a scratch buffer, or 0 where it needs none."""
    header: ClassVar[str] = "kb_kernels.h"
    """Declares its kernels and their parameter structures; that of a plug-in is one of its folder kernels."""
    sums_to_one: ClassVar[bool] = False
    """Whether the outputs of a pixel are shares of 1: as the last operator of a network, it makes probabilities."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Classes of torch.nn that are this operator (see ``lower``). A class of one's own has the kind as attribute ``operator``."""

    def __init__(self, op: Op, sources: Sequence[Tensor], output: Tensor) -> None:
        self.op, self.sources, self.source, self.output = op, tuple(sources), sources[0], output
        defaults = {key: value.default for key, value in self.attributes.items() if value.optional}
        self.attrs, self.params = defaults | op.attrs, op.params

    @property
    def in_place(self) -> bool:
        """Whether its output may lie where one of its inputs lay, if it is as large and made as a whole."""
        return False

    # What it means

    def compute(self, values: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Its output [n, h, w, c] of inputs of that form; in bit maps, one uint8 0 or 1 per channel."""
        raise NotImplementedError

    def output_shape(self) -> tuple[int, int, int]:
        """Of the inputs and attributes. Raises ValueError for attributes that do not suit the input."""
        return self.source.shape

    @classmethod
    def grid(cls, source: Tensor) -> tuple[float, int] | None:
        """The scale and zero point that the output has if that is no matter of choice."""
        return None

    def check_sources(self) -> None:
        """Raises ValueError for tensors that it cannot read together."""
        shapes = [tensor.shape for tensor in self.sources]
        require(set(shapes) == {shapes[0]}, f"reads maps of the shapes {shapes}")

    def check(self) -> None:
        """Raises ValueError for values of parameters with which something overflows, or that there is no kernel for."""

    @classmethod
    def lower(
        cls, module: Any, sources: Sequence[Tensor], output: Tensor
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Attributes and parameters of a trained module of torch; raises ValueError for one that cannot be expressed."""
        return {}, {}

    def sizes(self) -> dict[str, int]:
        """What the letters of ``types`` stand for."""
        channels = {"O": self.output.shape[2], "I": self.source.shape[2]}
        return channels | {"o": self.output.words, "i": self.source.words}

    def shape(self, letters: str) -> tuple[int, ...]:
        """Of a parameter with these axes."""
        sizes = self.sizes()
        return tuple(sizes[letter] if letter in sizes else int(letter) for letter in letters)

    def used_bits(self, letters: str) -> int:
        """Of the last word of a parameter with these axes; the others are 0."""
        return (self.sizes().get(letters[-1].upper(), 0) - 1) % 32 + 1

    # What it costs

    def work(self) -> int:
        """Products, or values that it reads; a bound of its time."""
        height, width, channels = self.output.shape
        return height * width * channels

    def macs(self) -> int:
        """Multiply-accumulates, taps on padding included."""
        return 0

    def weights(self) -> int:
        """Weights and biases; a binary weight counts as one."""
        return 0

    def constant_bytes(self) -> int:
        """Of its parameters, as they are stored, about."""
        return sum(array.nbytes for array in self.params.values())

    # How it runs

    def along(self, axis: int) -> tuple[int, int, int]:
        """Kernel, stride and padding along an axis, 0 rows or 1 columns."""
        return 1, 1, 0

    @property
    def kernel(self) -> str:
        """Name of the C function: void NAME(inputs, output, [scratch,] structure, [region])."""
        return f"kb_{self.op.kind}_{_SUFFIX[self.source.dtype]}"

    @property
    def struct(self) -> str:
        """Name of the parameter structure."""
        return f"{self.kernel}_params"

    def fields(self) -> Mapping[str, Field]:
        """Fields of the structure. Arrays become constants that it points to, in the types and the order that they have here."""
        raise NotImplementedError

    def scratch_bytes(self) -> int:
        """Size of its scratch buffer."""
        return 0


def require(holds: bool | np.bool_, text: str) -> None:
    """Raise ValueError with this text if something does not hold."""
    if not holds:
        raise ValueError(text)


def kinds() -> list[str]:
    """All operators that there are, those of plug-ins included."""
    return sorted({path.stem for path in operator_files()})


def operator(kind: str) -> type[Operator]:
    """Raises UserError for a kind that there is not, with the nearest, or twice, and for a file that is no operator."""
    found = [path for path in operator_files() if path.stem == kind]
    if not found:
        raise UserError(f"there is no operator {kind!r:.50}{nearest(kind, kinds())}; those of plug-ins need --plugins")
    if len(found) > 1:
        raise UserError(f"two operators are called {kind!r}: {found[0]} and {found[1]}")
    return _load(found[0])


def bind(graph: Graph, op: Op) -> Operator:
    """The operator of a node."""
    return operator(op.kind)(op, [graph.tensors[name] for name in op.inputs], graph.tensors[op.output])


def kind_of(module: Any) -> str | None:
    """The operator that a module of torch is as a whole: what its class says as ``operator``, or that lists it in ``modules``."""
    cls = type(module)
    if isinstance(own := getattr(cls, "operator", None), str):
        return own
    ours = cls.__module__.startswith("torch.nn.")
    return next((kind for kind in kinds() if ours and cls.__name__ in operator(kind).modules), None)


def sources(kind: str) -> list[Path]:
    """The C files and headers that come with an operator of a plug-in, none for others."""
    file = Path(sys.modules[operator(kind).__module__].__file__ or "")
    return [] if file.parent == operators_dir() else kernels_in(file.parent.parent / "kernels")


@cache
def _load(path: Path) -> type[Operator]:
    try:
        module = _import(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit as well: a plug-in may end no command
        raise UserError(f"{path} cannot be used: {reason(error)}") from None
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Operator) and value.__module__ == module.__name__:
            if not isinstance(getattr(value, "types", None), Mapping):
                raise UserError(f"{path} cannot be used: {value.__name__} has no mapping types")
            return value
    raise UserError(f"{path} cannot be used: it holds no subclass of Operator")


def _import(path: Path) -> ModuleType:
    """This project's by its name in the package, a plug-in's as any file of a plug-in."""
    if path.parent == operators_dir():
        return importlib.import_module(f"kilobench.compile.ops.{path.stem}")
    return load_file(path)
