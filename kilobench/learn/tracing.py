# SPDX-License-Identifier: Apache-2.0
"""A network as a torch.fx graph in which layers are single nodes, or one line that says why it is none."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from kilobench.contracts import UserError
from kilobench.learn.layers import Add, BinaryConv2d, FakeQuant, SwapAxes, is_operator

_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_TORCH = str(Path(torch.__file__).parent)


def trace(model: nn.Module) -> fx.GraphModule:
    """The model as a torch.fx graph in which all layers are single nodes, without what nothing reads; shares its modules.

    What changes a map in place stays, read or not: others may see the change. The one input is the first argument of
    ``forward``; all others keep their defaults. Raises UserError, naming module and line, where ``forward`` cannot be followed.
    """
    for path, module in model.named_modules():
        if path and (not _NAME.fullmatch(path) or keyword.iskeyword(path.rpartition(".")[2])):
            raise UserError(
                f"{path} ({type(module).__name__}) is no name for a module; supported are up to 200 letters, digits and _, "
                "and no word of Python"
            )
    changed = replaced(model)
    if changed:
        raise UserError(f"the network ({type(model).__name__}) has {changed}, which would not be seen")
    try:
        traced = fx.GraphModule(model, _Tracer().trace(model))
    except UserError:
        raise
    except Exception as error:  # whatever the network's own code raises
        raise UserError(f"{culprit(error, model)} cannot be traced: {first_line(error)}") from error
    for node in traced.graph.nodes:
        node.type = None  # annotations, which no file of a model holds
    traced.graph.eliminate_dead_code(_matters)
    traced.recompile()
    return traced


def _matters(node: fx.Node) -> bool:
    """Whether a node may do something even if nothing reads what it returns."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.op == "call_module":
        assert node.graph.owning_module is not None
        in_place = getattr(node.graph.owning_module.get_submodule(name), "inplace", False)
    elif node.op == "call_function":
        try:
            given = inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments  # type: ignore[arg-type]
        except (TypeError, ValueError):  # of torch's own, which have no signature
            given = node.kwargs
        in_place = given.get("inplace") or given.get("out") is not None or name.endswith("_")
    else:
        in_place = node.op == "call_method" and name.endswith("_")
    return bool(in_place) or node.is_impure()


def exchange(model: nn.Module, path: str, new: nn.Module) -> None:
    """Put another module in the place of the one at a path, wherever the model holds that under other names as well."""
    old = model.get_submodule(path)
    for module in model.modules():
        for name, child in module._modules.items():
            if child is old:
                module._modules[name] = new


def replaced(module: nn.Module) -> str:
    """What makes a module compute something else than its class says: hooks or a ``forward`` of its own; empty if nothing."""
    hooks = [name for name in ("_forward_pre_hooks", "_forward_hooks") if vars(module)[name]]
    return "a forward hook" if hooks else "a forward of its own" if "forward" in vars(module) else ""


def culprit(error: BaseException, model: nn.Module) -> str:
    """Path, class and line of the module of ``model`` in whose code an error arose; the deepest that is not torch's code."""
    names = {module: name for name, module in model.named_modules()}
    found, step = f"the network ({type(model).__name__})", error.__traceback__
    while step is not None:
        module, file = step.tb_frame.f_locals.get("self"), step.tb_frame.f_code.co_filename
        if isinstance(module, nn.Module) and module in names:
            found = f"{names[module] or 'the network'} ({type(module).__name__})"
            if not file.startswith((_TORCH, "<")):
                found += f", line {step.tb_lineno} of {Path(file).name},"
        step = step.tb_next
    return found


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        layer = isinstance(m, BinaryConv2d | FakeQuant | SwapAxes | Add | nn.Conv2d | nn.Linear | nn.BatchNorm2d)
        return layer or is_operator(m) or super().is_leaf_module(m, module_qualified_name)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """The module and its first argument, so that Python fills in the defaults of the others."""
        parameters = list(inspect.signature(inspect.unwrap(root_fn)).parameters.values())[1:]
        named = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        needed = [
            p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if not named or [name for name in needed if name != named[0].name]:
            raise UserError(
                f"the network ({type(self.root).__name__}) takes {', '.join(needed) or 'nothing'}; supported is one input, and "
                "what has a default"
            )
        default = () if named[0].default is named[0].empty else (named[0].default,)
        return root_fn, [self.root, self.create_proxy("placeholder", named[0].name, default, {})]
