# SPDX-License-Identifier: Apache-2.0
"""Models as files: equal to the bit after a round trip, and harmless whatever a file says."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import fx, nn

from kilobench.compile.lower import lower
from kilobench.contracts import CellError, Network, Shape
from kilobench.learn.modelfile import load_model, read_facts, save_model
from kilobench.learn.quantise import quantise
from kilobench.plugins.names import module_name
from kilobench.plugins.registry import load_registry
from tests.learn import mobile
from tests.learn.trained import Trained, digits, tones
from tests.methods.test_methods import INTEGER, SHORT

NETWORKS = sorted(load_registry().entries["networks"])
AUDIO: tuple[Shape, int] = (1, 1, 8000), 8000
IMAGE: tuple[Shape, int] = (3, 32, 32), 0


def again(model: nn.Module, folder: Path) -> nn.Module:
    save_model(model, folder / "model.safetensors", {"seconds": 1.5})
    return load_model(folder / "model.safetensors")[0]


def same(a: nn.Module, b: nn.Module, x: torch.Tensor) -> None:
    """Types, attributes, order and bits of all that two models hold, and of what they say."""
    assert str(a) == str(b) and a.training == b.training
    for (path, one), (other_path, other) in zip(a.named_modules(), b.named_modules(), strict=True):
        assert path == other_path and type(one).__mro__[1:] == type(other).__mro__[1:]
        assert isinstance(one, fx.GraphModule) or {**vars(one), **EMPTY} == {**vars(other), **EMPTY}
        assert one._non_persistent_buffers_set == other._non_persistent_buffers_set
    for mine, theirs in ((a.named_parameters(), b.named_parameters()), (a.named_buffers(), b.named_buffers())):
        for (name, tensor), (other_name, copy) in zip(mine, theirs, strict=True):  # type: ignore[call-overload]
            assert name == other_name and type(tensor) is type(copy) and tensor.requires_grad == copy.requires_grad
            assert tensor.dtype == copy.dtype and tensor.shape == copy.shape
            assert tensor.detach().numpy().tobytes() == copy.detach().numpy().tobytes()
    with torch.no_grad():
        assert torch.equal(a(x), b(x))


EMPTY = {name: None for name, value in vars(nn.Module()).items() if not isinstance(value, bool)}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name: str, tmp_path: Path) -> None:
    network: Network = load_registry().get("networks", name)
    shape, rate = AUDIO if name == "acdnet" else IMAGE
    model = network.build(shape, math.prod(shape) if name == "autoencoder" else 10, rate)
    same(model.eval(), again(model, tmp_path), torch.randn(2, *shape))


def test_a_traced_network_of_many_functions_and_methods(tmp_path: Path) -> None:
    x = torch.randn(4, *mobile.SHAPE, generator=torch.Generator().manual_seed(0))
    model = quantise(mobile.mobile(), [(x, torch.zeros(4))])
    assert {"call_function", "call_method"} <= {node.op for node in model.graph.nodes}
    same(model, again(model, tmp_path), x)


@pytest.mark.parametrize("recipe", sorted({*INTEGER, *SHORT.values()}))
@pytest.mark.parametrize("trained", [digits, tones], ids=["digits", "tones"])
def test_every_method(trained: Callable[[], Trained], recipe: str, tmp_path: Path) -> None:
    network = trained()
    model = network.apply(recipe, steps=0)
    loaded = again(model, tmp_path)
    same(model, loaded, torch.from_numpy(network.split.test_x[:32].copy()))
    shape = network.task.input_shape
    assert lower(model, shape).digest() == lower(loaded, shape).digest()


class Odd(nn.Module):
    """Everything that a module may hold."""


def odd(values: Any) -> nn.Module:
    """Shared layers, a frozen and a shared parameter, buffers that come and go, and plain data."""
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False))
    model.append(model[1])
    model[2].weight = model[0].weight
    model[2].bias.requires_grad_(False)
    model[1].register_buffer("seen", torch.tensor(float("nan"), dtype=torch.float64))
    model[1].register_buffer("passing", torch.zeros(0, 2, dtype=torch.int16), persistent=False)
    model[0].register_module("absent", None)
    model[1].values = values
    model[1].meta = "a name that traced models have for something else"
    model[3].train(False)
    return model


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([torch.int8, torch.bfloat16]),
    lambda values: st.lists(values) | st.tuples(values, values) | st.dictionaries(st.text() | st.integers(), values),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=PLAIN)
def test_plain_data_and_sharing_stay(values: Any, tmp_path: Path) -> None:
    model = odd(values)
    loaded = again(model, tmp_path)
    assert isinstance(loaded, nn.Sequential)
    assert repr(loaded[1].values) == repr(values)
    loaded[1].values = values  # a NaN is not equal to itself
    same(model, loaded, torch.randn(4, 3))
    assert loaded[2].weight is loaded[0].weight and loaded[4] is loaded[1]
    assert list(loaded.state_dict()) == list(model.state_dict()) and loaded[0]._modules == {"absent": None}
    assert [m.training for m in loaded.modules()] == [m.training for m in model.modules()]


def test_channels_last_becomes_contiguous(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loaded = again(model, tmp_path)
    assert torch.equal(loaded[0].weight, model[0].weight) and loaded[0].weight.is_contiguous()  # type: ignore[index]


def test_facts_are_read_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(nn.Linear(2, 2), path, {"seconds": 0.1, "data": "abc", "more": [1, None, {"a": True}]})
    expected = {"seconds": 0.1, "data": "abc", "more": [1, None, {"a": True}]}
    assert read_facts(path) == load_model(path)[1] == expected
    code = (
        "import sys; from pathlib import Path; from kilobench.learn.modelfile import read_facts\n"
        f"print(read_facts(Path({str(path)!r})) == {expected!r}, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_files_of_one_model_are_equal(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_model(digits().model, tmp_path / name, {"seconds": 1.0, "data": "abc"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def with_attribute(value: Any) -> nn.Module:
    model = nn.Sequential(nn.ReLU())
    model[0].oddity = value
    return model


def hooked() -> nn.Module:
    model = nn.Sequential(nn.ReLU())
    model[0].register_forward_hook(lambda *_: None)
    return model


def viewed() -> nn.Module:
    model = nn.Linear(2, 2)
    model.register_buffer("part", model.weight.detach()[0])
    return model


def calling(function: Any) -> nn.Module:
    class Calls(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = function(x)
            return result

    return fx.symbolic_trace(Calls())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (with_attribute(print), "0.oddity is a builtin_function_or_method"),
        (with_attribute([torch.zeros(1)]), "0.oddity is a Tensor"),
        (with_attribute({"a": (1, {2})}), "0.oddity is a set"),
        (with_attribute(nn.ReLU), "0.oddity is a type"),
        (hooked(), r"0 \(ReLU\) has hooks"),
        (viewed(), "part shares memory with weight"),
        (nn.Sequential(Odd()), "0: a Odd of tests.learn.test_modelfile cannot be stored"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), r"the model \(ParametrizedLinear\) has hooks"),
        (
            calling(torch.abs),
            r"abs_1 \(call_function .*abs.*\) cannot be stored; a traced model may call modules, ",
        ),
        (calling(lambda x: x.numpy()), r"numpy \(call_method numpy\) cannot be stored"),
        (nn.LSTM(2, 2), "_flat_weight_refs is a ReferenceType"),
        (None, "^a model is a torch.nn.Module, not of type NoneType$"),
        (nn.Linear(2, 2, device="meta"), "a tensor cannot be stored: NotImplementedError"),
    ],
)
def test_what_is_no_plain_data_is_named(model: nn.Module, message: str, tmp_path: Path) -> None:
    with pytest.raises(CellError, match=message) as caught:
        save_model(model, tmp_path / "model.safetensors", {})
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_plug_in_has_its_own_layers(tmp_path: Path) -> None:
    text = (
        "from kilobench.api import Network\nfrom torch import nn\n"
        "class Twice(nn.Module):\n    factor = 1\n    def forward(self, x): return self.factor * x\n"
        "class Net(Network):\n    '''Two.'''\n    name, reference = 'own', 'none'\n"
        "    def build(self, *_):\n        layer = Twice()\n        layer.factor = 2\n        return nn.Sequential(layer)\n"
    )
    path = tmp_path / "own.py"
    path.write_text(text)
    model = load_registry([str(path)]).get("networks", "own").build((1, 1, 1), 1, 0)
    same(model, again(model, tmp_path), torch.ones(1))
    del sys.modules[module_name(path)]
    with pytest.raises(CellError, match=rf"may not use '{module_name(path)}:Twice', or its plug-in is not loaded"):
        load_model(tmp_path / "model.safetensors")


# Files that want to do harm


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_model(digits().apply("int8"), tmp_path / "model.safetensors", {"seconds": 1.0})
    return tmp_path / "model.safetensors"


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> Path:
    """The file with another description or other tensors."""
    size = int.from_bytes(path.read_bytes()[:8], "little")
    description = json.loads(json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["kilobench"])
    tensors = load_file(path)
    change(description, tensors)
    save_file(tensors, path, {"kilobench": json.dumps(description)})
    return path


def refused(path: Path) -> str:
    before = set(sys.modules)
    with pytest.raises(CellError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert {name for name in set(sys.modules) - before if not name.startswith(("torch", "safetensors"))} == set()
    return str(caught.value)


def test_a_file_cut_anywhere_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for size in [0, 1, 7, 8, 9, 100, 5000, len(content) // 2, len(content) - 1]:
        file.write_bytes(content[:size])
        refused(file)
    file.write_bytes((2**62).to_bytes(8, "little") + content[8:])
    assert "a header of 4611686018427387904 bytes" in refused(file)
    file.write_bytes(b"\x80\x04" + content)
    refused(file)
    file.unlink()
    assert "FileNotFoundError" in refused(file)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_byte_in_the_header_is_refused_or_harmless(data: st.DataObject, file: Path) -> None:
    content = bytearray(file.read_bytes())
    size = int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, 8 + size - 1))] = data.draw(st.integers(0, 255))
    file.with_name("other").write_bytes(content)
    try:
        load_model(file.with_name("other"))
    except CellError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "antigravity:fly",
        "torch.hub:load",
        "torch.nn.modules.module:Any",
        "torch.nn.modules.linear:Linear.forward",
        "torch.nn.modules.linear:NoSuch",
        "kilobench.__main__:main",
        "kilobench.contrib.networks.no_such:Net",
        "kilobench.api:data",
        "torch.jit:ScriptModule",
        "kilobench_plugin_none:Net",
        ":",
        "",
    ],
)
def test_other_classes_are_refused_and_nothing_is_imported(name: str, file: Path) -> None:
    rewritten(
        file, lambda tree, _: tree["modules"]["conv1" if "conv1" in tree["modules"] else "0"].update({"class": name})
    )
    assert f"a model may not use {name!r}" in refused(file)


def node(tree: dict[str, Any], op: str) -> dict[str, Any]:
    found: dict[str, Any] = next(node for node in tree["modules"][""]["graph"] if node["op"] == op)
    return found


INJECTED = '0"); import os; os.abort() #'
HARMFUL: dict[str, Callable[[dict[str, Any], dict[str, torch.Tensor]], Any]] = {
    "other shape": lambda tree, tensors: tensors.update({"0.weight": torch.zeros(1)}),
    "other dtype": lambda tree, tensors: tensors.update({"0.weight": tensors["0.weight"].double()}),
    "missing tensor": lambda tree, tensors: tensors.pop("0.weight"),
    "more tensors": lambda tree, tensors: tensors.update({"more": torch.zeros(1)}),
    "unknown tensor": lambda tree, _: tree["modules"]["0"]["parameters"].update(weight="no"),
    "buffer as parameter": lambda tree, _: tree["tensors"]["0.weight"].update(parameter=False),
    "unknown module": lambda tree, _: tree["modules"][""]["modules"].update({"0": "no"}),
    "module in itself": lambda tree, _: tree["modules"]["0"]["modules"].update({"0": ""}),
    "module of none": lambda tree, _: tree["modules"].update(more=tree["modules"]["2"]),
    "no root": lambda tree, _: tree["modules"].pop(""),
    "state as attribute": lambda tree, _: tree["modules"]["0"]["attributes"].update(_forward_hooks={"dict": []}),
    "unknown value": lambda tree, _: tree["modules"]["0"]["attributes"].update(x={"eval": "1"}),
    "no dtype": lambda tree, _: tree["modules"]["0"]["attributes"].update(x={"dtype": "load"}),
    "dict with dicts as keys": lambda tree, _: tree["modules"]["0"]["attributes"].update(x={"dict": [[[], 1]]}),
    "function": lambda tree, _: node(tree, "call_module").update(op="call_function", target="os.system"),
    "method": lambda tree, _: node(tree, "call_module").update(op="call_method", target="numpy"),
    "attribute": lambda tree, _: node(tree, "call_module").update(op="get_attr", target="0.weight"),
    "code as name": lambda tree, _: node(tree, "call_module").update(name=INJECTED),
    "code as module": lambda tree, _: node(tree, "call_module").update(target=INJECTED),
    "code as input": lambda tree, _: node(tree, "placeholder").update(target="x=print(1)"),
    "code as key": lambda tree, _: node(tree, "call_module").update(kwargs={"dict": [["x=print(1)", 1]]}),
    "no graph": lambda tree, _: tree["modules"][""].pop("graph"),
    "version": lambda tree, _: tree.update(version=99),
    "facts": lambda tree, _: tree.update(facts=[]),
    "list": lambda tree, _: tree.update(modules=[]),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_harmful_descriptions_are_refused(name: str, file: Path) -> None:
    refused(rewritten(file, HARMFUL[name]))


def test_code_as_name_of_a_module_is_refused(file: Path) -> None:
    def change(tree: dict[str, Any], _: object) -> None:
        children = tree["modules"][""]["modules"]
        children[INJECTED] = children["0"]
        node(tree, "call_module").update(target=INJECTED)

    assert "is no name" in refused(rewritten(file, change))


def test_deep_nesting_is_refused(file: Path) -> None:
    def change(tree: dict[str, Any], _: object) -> None:
        plain = {"attributes": {}, "parameters": {}, "buffers": {}, "transient": []}
        container = {"class": "torch.nn.modules.container:Sequential", **plain}
        tree["modules"].update({f"d{i}": {**container, "modules": {"x": f"d{i + 1}"}} for i in range(3000)})
        tree["modules"]["d3000"] = {**container, "modules": {}}
        tree["modules"][""]["modules"]["d0"] = "d0"

    assert "RecursionError" in refused(rewritten(file, change))
    file.write_bytes(b"\x00" * 8)
    content = b'{"__metadata__":{"kilobench":"' + b"[" * 100_000 + b'"}}'
    file.write_bytes(len(content).to_bytes(8, "little") + content)
    assert "RecursionError" in refused(file)
