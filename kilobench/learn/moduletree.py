# SPDX-License-Identifier: Apache-2.0
"""A torch module as plain data and back, without pickle: for every module its class, plain attributes and what it holds.

Parameters, buffers and modules that are shared stay shared. A traced model (torch.fx.GraphModule) is stored as the nodes of its
graph; these may call modules and the functions that can be lowered, nothing else.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.immutable_collections import immutable_dict, immutable_list

from kilobench.contracts import CellError
from kilobench.learn.layers import FUNCTIONS, METHODS
from kilobench.plugins.names import PLUGIN_PREFIX, plugin_packages

_GRAPH_MODULE = "torch.fx:GraphModule"
_STATE = set(vars(nn.Module())) - {"training"}
_GRAPH_STATE = set(vars(fx.GraphModule(nn.Module(), fx.Graph()))) - {"training"}
_HOOKS = [name for name, value in vars(nn.Module()).items() if "hook" in name and isinstance(value, dict)]
_CALLABLE = {f"{function.__module__}.{function.__name__}": function for function in FUNCTIONS}
_DTYPES = {str(value).removeprefix("torch."): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_OPS = ("placeholder", "call_module", "call_function", "call_method", "output")


def describe(model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """``modules`` and ``tensors`` of a model as JSON values, and its tensors by name.

    Raises CellError naming module and attribute where something is no plain data.
    """
    if not isinstance(model, nn.Module):  # a method's mistake
        raise CellError(f"a model is a torch.nn.Module, not of type {type(model).__name__}")
    paths = {id(module): path for path, module in model.named_modules()}
    names: dict[int, str] = {}
    tensors: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and id(tensor) not in names:
                names[id(tensor)] = f"{path}.{name}".lstrip(".")
                tensors[names[id(tensor)]] = tensor
    _refuse_views(tensors)
    modules = {path: _module_facts(path, module, paths, names) for path, module in model.named_modules()}
    return {"modules": modules, "tensors": {name: _tensor_facts(name, t) for name, t in tensors.items()}}, tensors


def rebuild(tree: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    """The model that ``describe`` saw. ``tree`` may come from anywhere: it names classes, but is never run.

    Raises CellError for what is not allowed; LookupError, TypeError, ValueError, AttributeError, RuntimeError or SyntaxError
    for what makes no sense.
    """
    if tensors.keys() != tree["tensors"].keys():
        raise ValueError("the tensors are not those that the modules need")
    made = {name: _tensor(name, tensor, tree["tensors"][name]) for name, tensor in tensors.items()}
    modules = {path: _bare(facts["class"]) for path, facts in tree["modules"].items()}
    try:
        TopologicalSorter({path: facts["modules"].values() for path, facts in tree["modules"].items()}).prepare()
    except CycleError:
        raise ValueError("a module holds itself") from None
    for path, facts in tree["modules"].items():
        _fill(modules[path], facts, made, modules)
    for path, facts in tree["modules"].items():
        if isinstance(module := modules[path], fx.GraphModule):
            module.graph = _graph(facts["graph"], module)
    if sum(1 for _ in modules[""].modules()) != len(modules):
        raise ValueError("a module belongs to none")
    return modules[""]


def _refuse_views(tensors: dict[str, Tensor]) -> None:
    """Two tensors on one memory would part when they are loaded."""
    owners: dict[int, str] = {}
    for name, tensor in tensors.items():
        address = tensor.untyped_storage().data_ptr()
        if address and owners.setdefault(address, name) != name:
            raise CellError(f"{name} shares memory with {owners[address]}, which cannot be stored")


def _tensor_facts(name: str, tensor: Tensor) -> dict[str, Any]:
    if type(tensor) not in (Tensor, nn.Parameter):
        raise CellError(f"{name} is a {type(tensor).__name__}, which cannot be stored")
    return {
        "shape": list(tensor.shape),
        "dtype": _dtype_name(tensor.dtype),
        "parameter": isinstance(tensor, nn.Parameter),
        "requires_grad": tensor.requires_grad,
    }


def _tensor(name: str, tensor: Tensor, facts: dict[str, Any]) -> Tensor:
    """A copy in memory of its own, aligned as torch does it."""
    if list(tensor.shape) != facts["shape"] or _dtype_name(tensor.dtype) != facts["dtype"]:
        raise ValueError(f"{name} is {_dtype_name(tensor.dtype)} {list(tensor.shape)}, not what its module needs")
    copy = tensor.clone()
    return (
        nn.Parameter(copy, facts["requires_grad"])
        if facts["parameter"]
        else copy.requires_grad_(facts["requires_grad"])
    )


def _module_facts(path: str, module: nn.Module, paths: dict[int, str], names: dict[int, str]) -> dict[str, Any]:
    if any(vars(module)[hooks] for hooks in _HOOKS):
        raise CellError(f"{path or 'the model'} ({type(module).__name__}) has hooks, which cannot be stored")
    facts: dict[str, Any] = {
        "class": _class_name(path, module),
        "attributes": {
            name: _encoded(value, f"{path}.{name}".lstrip("."))
            for name, value in vars(module).items()
            if name not in _state(module)
        },
        "parameters": {name: None if t is None else names[id(t)] for name, t in module._parameters.items()},
        "buffers": {name: None if t is None else names[id(t)] for name, t in module._buffers.items()},
        "transient": sorted(module._non_persistent_buffers_set),
        "modules": {name: None if m is None else paths[id(m)] for name, m in module._modules.items()},
    }
    if isinstance(module, fx.GraphModule):
        facts["graph"] = [_node_facts(node, path) for node in module.graph.nodes]
    return facts


def _state(module: nn.Module) -> set[str]:
    """The attributes that torch keeps its own things in."""
    return _GRAPH_STATE if isinstance(module, fx.GraphModule) else _STATE


def _fill(module: nn.Module, facts: dict[str, Any], tensors: dict[str, Tensor], modules: dict[str, nn.Module]) -> None:
    for name, value in facts["attributes"].items():
        if name in _state(module):
            raise ValueError(f"{name} is no attribute")
        vars(module)[name] = _decoded(value, {})
    for name, key in facts["parameters"].items():
        if key is not None and not isinstance(tensors[key], nn.Parameter):
            raise ValueError(f"{key} is no parameter")
        module._parameters[name] = None if key is None else tensors[key]  # type: ignore[assignment]
    module._buffers.update((name, None if key is None else tensors[key]) for name, key in facts["buffers"].items())
    module._non_persistent_buffers_set.update(facts["transient"])
    module._modules.update((name, None if key is None else modules[key]) for name, key in facts["modules"].items())


def _class_name(path: str, module: nn.Module) -> str:
    cls = type(module)
    if isinstance(module, fx.GraphModule) and cls.__mro__[1] is fx.GraphModule:
        return _GRAPH_MODULE
    name = f"{cls.__module__}:{cls.__qualname__}"
    if _find_class(name) is not cls:
        raise CellError(
            f"{path or 'the model'}: a {cls.__qualname__} of {cls.__module__} cannot be stored; classes of torch.nn, of "
            "kilobench and of plug-ins, defined at the top of a file, can"
        )
    return name


def _bare(name: str) -> nn.Module:
    """An instance without any state but that of every module."""
    if name == _GRAPH_MODULE:
        return fx.GraphModule(nn.Module(), fx.Graph())
    cls = _find_class(name)
    if cls is None:
        raise CellError(f"a model may not use {name!r}, or its plug-in is not loaded")
    module: nn.Module = cls.__new__(cls)
    nn.Module.__init__(module)
    return module


def _find_class(name: str) -> type[nn.Module] | None:
    """A subclass of Module of torch.nn, of kilobench or of a plug-in that is loaded, as ``MODULE:NAME``."""
    module, _, qualname = name.partition(":")
    if (
        not module.startswith(("torch.nn.", "kilobench.", PLUGIN_PREFIX))
        and module.partition(".")[0] not in plugin_packages()
    ):
        return None
    if re.fullmatch(r"kilobench\.(learn\.layers|contrib\.networks\.\w+)", module):
        try:
            importlib.import_module(module)
        except ImportError:
            return None
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None


def _node_facts(node: fx.Node, path: str) -> dict[str, Any]:
    target = next((name for name, function in _CALLABLE.items() if function is node.target), node.target)
    known = {"call_function": tuple(_CALLABLE), "call_method": METHODS}.get(node.op, (target,))
    if node.op not in _OPS or not isinstance(target, str) or target not in known:
        raise CellError(
            f"{path}.{node.name}".lstrip(".") + f" ({node.op} {node.target}) cannot be stored; a traced model may call "
            f"modules, {', '.join(_CALLABLE)} and the methods {', '.join(METHODS)}"
        )
    where = f"{path}.{node.name}".lstrip(".")
    args, kwargs = _encoded(tuple(node.args), where), _encoded(dict(node.kwargs), where)
    return {"op": node.op, "name": node.name, "target": target, "args": args, "kwargs": kwargs}


def _graph(facts: list[dict[str, Any]], owner: nn.Module) -> fx.Graph:
    """The graph of its nodes. torch makes a function of it, so all that becomes part of its text is checked here."""
    graph, nodes = fx.Graph(), dict[str, fx.Node]()
    for node in facts:
        op, name, target = node["op"], node["name"], node["target"]
        args, kwargs = _decoded(node["args"], nodes), _decoded(node["kwargs"], nodes)
        if op not in _OPS or not all(word.isidentifier() for word in (name, *kwargs)):
            raise ValueError(f"no node of a traced model: {name!r}")
        if op == "call_function":
            target = _CALLABLE[target]
        elif op == "call_method":
            if target not in METHODS:
                raise CellError(f"a model may not call the method {target!r:.50}")
        elif not re.fullmatch(r"\w+(\.\w+)*" if op == "call_module" else r"\w+", target):
            raise ValueError(f"{target!r} is no name")
        if op == "call_module":
            owner.get_submodule(target)
        nodes[name] = graph.create_node(op, target, args, kwargs, name)
        if nodes[name].name != name:
            raise ValueError(f"{name!r} is taken")
    graph.owning_module = owner  # type: ignore[assignment]
    graph.lint()
    return graph


def _encoded(value: Any, where: str) -> Any:
    """Plain data as JSON: what JSON lacks is an object with one key that says what it is."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, immutable_list):
        return _all_encoded(value, where)
    if kind is tuple:
        return {"tuple": _all_encoded(value, where)}
    if kind in (dict, immutable_dict):
        return {"dict": [_all_encoded(item, where) for item in value.items()]}
    if kind is torch.dtype:
        return {"dtype": _dtype_name(value)}
    if kind is fx.Node:
        return {"node": value.name}
    if kind is slice:
        return {"slice": _all_encoded((value.start, value.stop, value.step), where)}
    raise CellError(
        f"{where} is a {kind.__name__}, which cannot be stored; plain data, parameters, buffers and modules can"
    )


def _all_encoded(values: Iterable[Any], where: str) -> list[Any]:
    return [_encoded(value, where) for value in values]


def _decoded(value: Any, nodes: dict[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_decoded(item, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        return tuple(_decoded(item, nodes) for item in content)
    if kind == "dict":
        return {_decoded(key, nodes): _decoded(item, nodes) for key, item in content}
    if kind == "dtype":
        return _DTYPES[content]
    if kind == "node":
        return nodes[content]
    if kind == "slice":
        start, stop, step = content
        return slice(_decoded(start, nodes), _decoded(stop, nodes), _decoded(step, nodes))
    raise ValueError(f"no value: {kind!r}")


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
