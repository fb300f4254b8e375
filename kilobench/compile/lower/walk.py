# SPDX-License-Identifier: Apache-2.0
"""The traced network, node by node: what each is, what follows it, and the tensors and operators made of it so far."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from kilobench.compile.graph import DType, Graph, Op, Tensor
from kilobench.compile.lower.supported import FUNCTIONS, MODULES, Rule, known_names, name_of, refusal, rule_of
from kilobench.contracts import Shape, UserError
from kilobench.learn.layers import FakeQuant
from kilobench.learn.tracing import culprit, first_line, trace

_BATCH = 2
"""Of the input that shapes are found with: not 1, so that what mixes its inputs is seen."""
CHAINS = {
    "input": ("quant",),
    "conv": ("norm", "relu", "quant"),
    "linear": ("relu", "quant"),
    "binary": ("norm", "relu", "quant"),
    "avg_pool": ("quant",),
    "add": ("relu", "quant"),
    "layer": ("quant",),
}
"""What is computed together with what stands before it, in this order, each optional."""


class LoweringError(UserError):
    """The model holds something that has no C counterpart."""


class NoLogits(LoweringError):
    """The model gives something else than a classifier."""


class Walk:
    """Visits the traced graph once, in order; every fx node maps to the tensor that holds its value."""

    def __init__(self, model: nn.Module, input_shape: Shape) -> None:
        """Of a model on any device, which goes to the CPU."""
        self.module = trace(model)
        self.modules = dict(self.module.named_modules())
        self.nodes: list[fx.Node] = []
        for node in list(self.module.graph.nodes):
            self._check(node)
            if self.kind(node) == "identity":
                node.replace_all_uses_with(self.operands(node)[0])
                self.module.graph.erase_node(node)
            else:
                self.nodes.append(node)
        self._check_order()
        self.module.cpu()
        self._check_values(model, _noise(input_shape))
        self.values: dict[fx.Node, Tensor] = {}
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []

    def graph(self) -> Graph:
        """Of the operators made so far, which are all."""
        source = next(node for node in self.nodes if node.op == "placeholder")
        (returned,) = self.nodes[-1].args
        if not isinstance(returned, fx.Node):
            kind = type(returned).__name__.removeprefix("immutable_")
            raise NoLogits(f"the network returns a {kind}; supported are logits [n, classes] alone")
        result, shape = self.values[returned], returned.meta["shape"]
        if len(shape) != 2:
            found = ", ".join(map(str, shape[1:]))
            raise NoLogits(f"a network returns logits [n, classes], not [n, {found}] as {self.name(returned)} gives")
        return Graph(self.tensors, tuple(self.ops), self.values[source].name, (result.name,))

    # What a node is, and what it reads

    def rule(self, node: fx.Node) -> Rule | None:
        """What is known of the module or function that a node calls."""
        if node.op == "call_module":
            return rule_of(self.modules[str(node.target)])
        return FUNCTIONS.get(node.target) if node.op == "call_function" else None

    def kind(self, node: fx.Node) -> str:
        """What a node becomes, such as conv; ``input`` and ``output`` are the network's own."""
        if node.op in ("placeholder", "output"):
            return "input" if node.op == "placeholder" else "output"
        rule = self.rule(node)
        return rule.kind if rule is not None else ""

    def name(self, node: fx.Node) -> str:
        """Path of the module that a node calls, or what fx calls the node."""
        return str(node.target) if node.op == "call_module" else node.name

    def described(self, node: fx.Node) -> str:
        """A node for messages: its path, and the class or function that it calls."""
        if node.op == "call_module":
            return f"{self.name(node)} ({type(self.modules[str(node.target)]).__name__})"
        called = name_of(node.target) if node.op == "call_function" else f"{node.op.replace('_', ' ')} {node.target}"
        inside = next(reversed(node.meta.get("nn_module_stack", {"": ()})), "")
        return f"{self.name(node)} ({called}){f' in {inside}' if inside else ''}"

    def error(self, node: fx.Node, what: str) -> LoweringError:
        """An error that says where it is."""
        return LoweringError(f"{self.described(node)} {what}")

    def operands(self, node: fx.Node) -> list[fx.Node]:
        """The nodes whose maps this one reads, in order; all else that it is given must be what is supported."""
        rule = self.rule(node)
        assert rule is not None
        names = [*rule.used.split(), *rule.idle.split()]
        if node.op == "call_module":
            names = list(inspect.signature(type(self.modules[str(node.target)]).forward).parameters)[
                1 : rule.inputs + 1
            ]
        given = dict(zip(names, node.args, strict=False)) | node.kwargs
        maps: list[Any] = [given.pop(name, None) for name in names[: rule.inputs]]
        for name, value in zip(names, maps, strict=False):
            if not isinstance(value, fx.Node):
                raise self.error(node, f"has {name}={value!r}; supported are maps")
        for name, value in given.items():
            if not (name in names or name in rule.only) or isinstance(value, fx.Node):
                raise self.error(node, f"has {name}={value!r}; supported is a call without it")
            if text := rule.refusal(name, value):
                raise self.error(node, text)
        if len(node.args) > len(names):
            raise self.error(node, f"is given {len(node.args)} values; supported are {len(names)}")
        return maps

    def source(self, node: fx.Node) -> Tensor:
        """The one map that a node reads."""
        return self.values[self.operands(node)[0]]

    # What follows a node

    def follows(self, node: fx.Node, kind: str) -> fx.Node | None:
        """The one user of a node, when it is of this kind."""
        user = next(iter(node.users)) if len(node.users) == 1 else None
        return user if user is not None and self.kind(user) == kind else None

    def absorb(self, node: fx.Node, *kinds: str) -> list[fx.Node]:
        """The chain of single users that has these kinds in this order, each optional; by default those of its CHAINS."""
        chain = [node]
        for kind in kinds or CHAINS[self.kind(node)]:
            if (user := self.follows(chain[-1], kind)) is not None:
                chain.append(user)
        return chain

    def find(self, chain: list[fx.Node], kind: str) -> Any:
        """The module of this kind in a chain (True for a function), or None."""
        return next((self.modules.get(str(n.target), True) for n in chain[1:] if self.kind(n) == kind), None)

    # Whether it can be lowered at all

    def _check(self, node: fx.Node) -> None:
        """Refuse a node that is not supported, or has an attribute or argument that is not."""
        if node.op == "call_module" and (text := refusal(self.modules[str(node.target)])):
            raise self.error(node, text)
        if not self.kind(node):
            raise self.error(node, "cannot be lowered here; " + known_names())
        if node.op in ("call_module", "call_function"):
            self.operands(node)

    def _check_order(self) -> None:
        """Refuse what nothing reads, and what is computed together with something else that does not stand before it."""
        for node in self.nodes:
            if not node.users and node.op not in ("placeholder", "output"):
                raise self.error(node, "changes a map in place; supported is one whose result is used instead")
        absorbed = {user for node in self.nodes if self.kind(node) in CHAINS for user in self.absorb(node)[1:]}
        for node in self.nodes:
            kind = self.kind(node)
            if kind not in ("norm", "relu", "quant") or node in absorbed:
                continue
            kinds = {k for head, chain in CHAINS.items() if kind in chain for k in (head, *chain[: chain.index(kind)])}
            behind = sorted(module.__name__ for module, rule in MODULES.items() if rule.kind in kinds)
            before = self.operands(node)[0]
            described = f"the network's {before.name}" if before.op == "placeholder" else self.described(before)
            shared = ", which others read as well" if len(before.users) > 1 else ""
            raise self.error(
                node,
                f"stands behind {described}{shared}; supported is one behind {', '.join(behind)} that alone reads it",
            )

    def _check_values(self, model: nn.Module, x: torch.Tensor) -> None:
        """Find the shapes of all nodes, and refuse a network that computes something else than its trace."""
        for value in (x, -x):
            traced = _Shapes(self).run(value.clone())
            try:
                with torch.no_grad():
                    own = model(value.clone())
            except Exception as error:  # whatever the network's own code raises
                raise LoweringError(f"{culprit(error, model)} cannot be computed: {first_line(error)}") from error
            if isinstance(own, torch.Tensor) and isinstance(traced, torch.Tensor) and not _close(own, traced):
                raise LoweringError(
                    f"the network ({type(model).__name__}) computes something else than its trace: its forward asks for types, "
                    "counts its calls, catches exceptions or changes a map in place; supported is none of that"
                )

    @contextmanager
    def naming(self, node: fx.Node) -> Iterator[None]:
        """A ValueError inside becomes the node's."""
        try:
            yield
        except ValueError as error:
            raise self.error(node, str(error)) from None

    # Making tensors and operators

    def emit_tensor(self, node: fx.Node, chain: list[fx.Node], dtype: DType = "float32") -> Tensor:
        """The tensor that the whole chain computes, int8 or int16 if the chain ends in a FakeQuant."""
        scale, zero_point = 0.0, 0
        quant: FakeQuant | None = self.find(chain, "quant")
        if quant is not None:
            dtype, scale, zero_point = "int8", float(quant.scale), int(quant.zero_point)
            if quant.bits == 16:
                dtype = "int16"
                if node.op != "placeholder":
                    raise self.error(chain[-1], "has 16 bits, which only the input of a network may have")
                if zero_point:
                    raise self.error(chain[-1], f"has 16 bits and zero_point={zero_point}; supported is 0")
        return self.keep(chain, Tensor(chain[-1].name, self.shape(chain[-1]), dtype, scale, zero_point))

    def keep(self, chain: list[fx.Node], tensor: Tensor) -> Tensor:
        """Note that a tensor is the value of these nodes; returns it."""
        self.tensors[tensor.name] = tensor
        for node in chain:
            self.values[node] = tensor
        return tensor

    def shape(self, node: fx.Node) -> tuple[int, int, int]:
        """Height, width and channels of what a node gives."""
        shape = node.meta["shape"]
        if shape[0] != _BATCH or len(shape) not in (2, 4):
            raise self.error(
                node, f"gives {list(shape)} for a batch of {_BATCH}; supported are [n, c, h, w] and [n, features]"
            )
        channels, height, width = shape[1:] if len(shape) == 4 else (shape[1], 1, 1)
        return height, width, channels

    def emit_op(self, kind: str, node: fx.Node, inputs: list[Tensor], output: Tensor, **rest: Any) -> None:
        """Add an operator; its types must be those of a kernel."""
        types = {tensor.dtype for tensor in inputs}
        if types == {"int16"} and (kind, output.dtype) != ("conv2d", "int8"):
            raise self.error(node, f"reads int16 as {kind} to {output.dtype}, but only convolutions to int8 can")
        if (kind != "binarize" and output.dtype not in types and types not in ({"bit"}, {"int16"})) or len(types) != 1:
            raise self.error(node, f"turns {'/'.join(sorted(types))} into {output.dtype}, for which there is no kernel")
        self.ops.append(Op(kind, self.name(node), tuple(t.name for t in inputs), output.name, **rest))


class _Shapes(fx.Interpreter):
    """Notes the shape of every node, and refuses those that fail or overflow."""

    def __init__(self, walk: Walk) -> None:
        super().__init__(walk.module)
        self.walk = walk
        self.extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        """The value of a node, whose shape becomes known."""
        try:
            with torch.no_grad():
                value = super().run_node(n)
        except Exception as error:  # whatever a layer says about a shape
            raise self.walk.error(n, f"cannot be computed: {first_line(error)}") from error
        if isinstance(value, torch.Tensor):
            n.meta["shape"] = tuple(value.shape)
            if not bool(torch.isfinite(value).all()):
                raise self.walk.error(n, "is not finite: it gives NaN or infinite values for an input in [-1, 1]")
        return value


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two results are one but for rounding."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()), equal_nan=True)


def _noise(input_shape: Shape) -> torch.Tensor:
    """Inputs in [-1, 1], always the same."""
    return torch.rand(_BATCH, *input_shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
