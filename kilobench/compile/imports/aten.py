# SPDX-License-Identifier: Apache-2.0
"""From the graph of torch.export, as its JSON has it, to a Program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from kilobench.compile.imports.atencalls import Call, Positive, Ref
from kilobench.compile.imports.atenops import ARITHMETIC, OPERATORS, VIEWS
from kilobench.compile.imports.atenquant import QUANTISERS
from kilobench.compile.imports.builder import Builder, layer_name, printable
from kilobench.compile.imports.program import Program
from kilobench.compile.imports.qdq import fold_quantisers
from kilobench.compile.operator import require
from kilobench.plugins.spec import nearest

_DTYPES = {7: "float32", 1: "uint8", 2: "int8"}
"""Of an input, in torch's schema."""
_NEAREST = {
    "conv_transpose2d": "upsample_nearest2d and conv2d",
    "gelu": "hardswish",
    "elu": "leaky_relu",
    "layer_norm": "batch_norm",
    "group_norm": "batch_norm",
    "log_softmax": "softmax",
    "upsample_bilinear2d": "upsample_nearest2d",
}
MAX_NODES = 10_000
"""Of a file; some only compute sizes."""
_IDLE = ("aten._assert_", "aten.sym_constrain", "aten._assert_tensor_metadata")
"""Checks of what is known here."""


@dataclass
class Exported:
    """The JSON of a graph and its signature, and its tensors by name."""

    graph: dict[str, Any]
    signature: dict[str, Any]
    tensor: Callable[[str], NDArray[Any]]


def translate(exported: Exported) -> Program:
    """The program of an exported graph. Raises ValueError that names the operator."""
    try:
        return _Walk(exported).run()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"holds a graph that is not of torch's schema ({type(error).__name__})") from None


class _Walk:
    """Values by the graph's names: those of the builder, whole numbers, or where one is positive."""

    def __init__(self, exported: Exported) -> None:
        self.graph, self.tensor = exported.graph, exported.tensor
        self.builder = Builder()
        self.env: dict[str, str | int | Positive] = {}
        self.stored: dict[str, str] = {}
        self.shared: dict[str, list[str]] = {}
        self.last: dict[str, int] = {}
        self.outputs = [_output(spec) for spec in exported.signature["output_specs"]]
        sources = [name for spec in exported.signature["input_specs"] if (name := self._input(spec))]
        shown = ", ".join(map(printable, sources[:3]))
        require(len(sources) == 1, f"has {len(sources)} inputs ({shown}); supported is one")
        self.source = self._declare(sources[0])

    def run(self) -> Program:
        """All operators that lead to outputs, in order."""
        nodes = self.graph["nodes"]
        require(len(nodes) <= MAX_NODES, f"has {len(nodes)} operators; supported are up to {MAX_NODES}")
        self.last = {name: index for index, node in enumerate(nodes) for name in _names(node["inputs"])}
        self.last |= dict.fromkeys(self.outputs, len(nodes))
        for index, node in enumerate(nodes):
            self._visit(index, node)
        require(bool(self.outputs), "has no outputs")
        outputs = [str(self.env[name]) for name in self.outputs]
        require(len(set(outputs)) == len(outputs), "two of its outputs are the same")
        made = all(self.builder.producer(name) for name in outputs)
        require(made, "an output is the input, or a constant")
        return fold_quantisers(self.builder.finish(self.source, outputs))

    def _input(self, spec: dict[str, Any]) -> str:
        """The name of a user's tensor, or nothing for what the file holds."""
        (kind, entry), *_ = spec.items()
        if kind == "user_input":
            return str(entry["arg"]["as_tensor"]["name"]) if "as_tensor" in entry["arg"] else ""
        fields = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
        if kind in fields:
            self.stored[str(entry["arg"]["name"])] = str(entry[fields[kind]])
            return ""
        require(kind == "constant_input", f"has an input that is a {printable(kind)}; supported are tensors")
        return ""

    def _declare(self, name: str) -> str:
        meta, shape = self.graph["tensor_values"][name], []
        code = meta["dtype"]
        require(code in _DTYPES, f"has the input {printable(name)} of another type than float32, int8 or uint8")
        for axis, size in enumerate(meta["sizes"]):
            number = size.get("as_int")
            if axis == 0 and "as_expr" in size:
                number = 1
            known = type(number) is int and number >= 1
            require(
                known,
                f"has the input {printable(name)}, whose axis {axis} is not fixed; supported is a dynamic batch only",
            )
            shape.append(number)
        require(
            shape[:1] == [1], f"has the input {printable(name)} of {shape}; supported is a batch of 1, or a dynamic one"
        )
        self.env[name] = self.builder.input(name, tuple(shape), _DTYPES[code])
        return str(self.env[name])

    def _visit(self, index: int, node: dict[str, Any]) -> None:
        target = str(node["target"]).removeprefix("torch.ops.")
        if target.startswith(_IDLE):
            return
        self.builder.at = _path(node, target)
        try:
            call = Call(
                self.builder, target, {str(entry["name"]): self._value(entry["arg"]) for entry in node["inputs"]}
            )
            function = _function(call)
            made = function(call)
            call.finish()
        except ValueError as error:
            raise ValueError(f"{self.builder.at} ({printable(target)}) {error}") from None
        names = _outputs(node)
        for name, value in zip(names, made if isinstance(made, list) else [made], strict=False):
            require(
                name not in self.env and name not in self.stored, f"{self.builder.at} makes {printable(name)} twice"
            )
            self.env[name] = value
        self._note_storage(call, index, node, names)

    def _note_storage(self, call: Call, index: int, node: dict[str, Any], names: list[str]) -> None:
        """Later readers of what is changed in place get the result; those of other views of it are refused."""
        source = next(iter(_names(node["inputs"])), "")
        if not call.in_place and call.base not in VIEWS:
            return
        views = self.shared.setdefault(source, [source])
        if call.in_place:
            read = [name for name in views if name != source and self.last.get(name, -1) > index]
            shown = printable("".join(read[:1]))
            require(
                not read, f"{self.builder.at} ({printable(call.target)}) changes in place {shown}, which is read later"
            )
            self.env[source] = self.env[names[0]]
        views += names
        self.shared |= dict.fromkeys(names, views)

    def _value(self, argument: dict[str, Any]) -> Any:
        """An argument as Python has it; tensors are a Ref."""
        (kind, entry), *_ = argument.items()
        if kind in ("as_int", "as_float", "as_bool", "as_string"):
            wanted = {"as_int": int, "as_float": (float, int), "as_bool": bool, "as_string": str}[kind]
            require(isinstance(entry, wanted), f"has an argument {entry!r:.30} that is no {kind.removeprefix('as_')}")  # type: ignore[arg-type]
            return entry
        if kind in ("as_ints", "as_floats", "as_bools"):
            require(
                len(entry) <= 64 and all(type(number) in (int, float, bool) for number in entry),
                "has a list of no numbers",
            )
            return tuple(entry)
        if kind in ("as_tensor", "as_optional_tensor"):
            return None if "as_none" in entry else self._ref(entry.get("as_tensor", entry)["name"])
        if kind in ("as_tensors", "as_optional_tensors"):
            return [self._ref(tensor.get("as_tensor", tensor)["name"]) for tensor in entry]
        if kind in ("as_sym_int", "as_sym_ints"):
            numbers = tuple(map(self._number, entry if kind == "as_sym_ints" else [entry]))
            return numbers if kind == "as_sym_ints" else numbers[0]
        if kind == "as_scalar_type":
            return f"dtype {entry}"
        require(
            kind in ("as_none", "as_memory_format", "as_layout", "as_device"),
            f"has an argument of the kind {printable(kind)}",
        )
        return None

    def _number(self, entry: dict[str, Any]) -> int:
        value = entry["as_int"] if "as_int" in entry else self.env[entry["as_name"]]
        if not isinstance(value, int):
            raise ValueError("has a size that is not known")
        return value

    def _ref(self, name: str) -> Ref | Positive:
        if name in self.stored and name not in self.env:
            array = self.tensor(self.stored[name])
            self.env[name] = self.builder.constant(array, name=self.stored[name])
        require(name in self.env, f"reads {printable(str(name))}, which nothing before it makes")
        value = self.env[name]
        return value if isinstance(value, Positive) else Ref(str(value))


def _function(call: Call) -> Callable[[Call], Any]:
    namespace, base = call.namespace, call.base
    known = {"aten": OPERATORS, "quantized_decomposed": QUANTISERS, "torchao": QUANTISERS, "_operator": ARITHMETIC}
    require(namespace in known, "is no operator of ATen; supported are those")
    if base not in known[namespace]:
        near = f"; nearest is {_NEAREST[base]}" if base in _NEAREST else nearest(base, known[namespace])
        raise ValueError(f"is an operator for which there is no kernel{near}")
    return known[namespace][base]


def _output(spec: dict[str, Any]) -> str:
    require(
        set(spec) == {"user_output"}, f"changes its state ({printable(next(iter(spec), ''))}); export it after eval()"
    )
    argument = spec["user_output"]["arg"]
    require("as_tensor" in argument, "has an output that is no tensor")
    return str(argument["as_tensor"]["name"])


def _names(inputs: list[dict[str, Any]]) -> list[str]:
    """The tensors and sizes that a node reads, by the graph's names."""
    found: list[str] = []
    for entry in inputs:
        value = next(iter(entry["arg"].values()))
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                part = part.get("as_tensor", part)
                name = part.get("name", part.get("as_name")) if isinstance(part, dict) else None
                found += [str(name)] if name is not None else []
    return found


def _outputs(node: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for entry in node["outputs"]:
        ((kind, value),) = entry.items()
        if kind != "as_none":
            parts = value if isinstance(value, list) else [value]
            found += [str(part.get("as_name", part.get("name"))) for part in parts]
    return found


def _path(node: dict[str, Any], target: str) -> str:
    """The module of torch.nn that a node comes from; of a function in another module, its name too."""
    base = [*target.split("."), ""][1].strip("_")
    stack = str(node.get("metadata", {}).get("nn_module_stack", ""))
    _, path, kind = (*stack.split(";")[-1].split(","), "", "", "")[:3]
    return layer_name(path, kind, base)
