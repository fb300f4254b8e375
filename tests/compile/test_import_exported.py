# SPDX-License-Identifier: Apache-2.0
"""Programs of torch.export, from .pt2 files and modules at hand, compute what torch does; what is not supported says so."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kilobench.compile.imports.exported import export_module, load_pt2, lower
from kilobench.compile.imports.lowering import lower_program
from kilobench.contracts import UserError
from tests.compile.importednets import NETWORKS, inputs, made
from tests.compile.importing import close, run


class Wrapped(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def exported(module: nn.Module, x: Tensor, decomposed: bool = False, dynamic: bool = False) -> Any:
    """The exported program of a module."""
    shapes = ({0: torch.export.Dim.DYNAMIC},) if dynamic else None
    example = torch.cat([x[:1]] * 2) if dynamic else x[:1]
    program = torch.export.export(module.eval(), (example,), dynamic_shapes=shapes, strict=False)
    return program.run_decompositions() if decomposed else program


def saved(program: Any, folder: Path) -> Path:
    """The path of a .pt2 file with it."""
    path = folder / "model.pt2"
    torch.export.save(program, path)
    return path


def check(path: Path, module: nn.Module, x: Tensor) -> None:
    """What a file makes is what the module makes."""
    program = load_pt2(path.read_bytes())
    with torch.no_grad():
        wanted = module.eval()(x.clone())
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = run(lower_program(program), program, x.numpy())
    assert len(found) == len(wanted)
    assert all(close(f, w.numpy()) for f, w in zip(found, wanted, strict=True))


@pytest.mark.parametrize("form", ["as it is", "decomposed", "dynamic"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network(name, form, tmp_path):
    module, x = made(name), inputs(name, 3)
    check(saved(exported(module, x, form == "decomposed", form == "dynamic"), tmp_path), module, x)


def test_a_module_at_hand():
    module = made("resnet").train()
    program = export_module(module, (3, 24, 24))
    assert module.training and [node.name for node in program.nodes][:3] == ["stem.0", "stem.1", "stem.2"]
    x = inputs("resnet", 3)
    graph = lower(module, (3, 24, 24))
    assert close(run(graph, program, x.numpy())[0], module.eval()(x).detach().numpy())


FUNCTIONS: dict[str, Wrapped] = {
    "relu6 and hardtanh": Wrapped(lambda m, x: F.hardtanh(F.relu6(x), -0.5, 2.0)),
    "clamps": Wrapped(lambda m, x: x.clamp_min(-0.5).clamp_max(0.75).clamp(-0.4)),
    "gates": Wrapped(lambda m, x: F.hardsigmoid(x) + F.sigmoid(x) * x.tanh() - F.hardswish(x) - F.silu(x)),
    "written out": Wrapped(lambda m, x: x * F.relu6(x + 3) / 6),
    "leaky": Wrapped(lambda m, x: m.prelu(F.leaky_relu(x, 0.3)), prelu=nn.PReLU(4)),
    "prelu of one": Wrapped(lambda m, x: m.prelu(x), prelu=nn.PReLU()),
    "arithmetic": Wrapped(lambda m, x: torch.sub(1 - x, x, alpha=2) * 0.5 + (-x) / 4 + 2),
    "in place": Wrapped(lambda m, x: F.relu_(x.clone().mul_(2).add_(x))),
    "later readers": Wrapped(lambda m, x: _added_in_place(x)),
    "softmax": Wrapped(lambda m, x: x.softmax(1)),
    "argmax": Wrapped(lambda m, x: x.flatten(1).argmax(1, keepdim=True)),
    "parts": Wrapped(lambda m, x: torch.cat([x[:, 1:3], x[:, ::2], x.narrow(1, 1, 2), *x.split([1, 3], 1)], 1)),
    "chunks": Wrapped(lambda m, x: x.chunk(3, 2)[1] + x.split(3, 2)[0] - x.tensor_split(3, 2)[2]),
    "entries": Wrapped(lambda m, x: x[:, 1] * x.select(1, -1) - x.unbind(1)[0]),
    "shapes": Wrapped(
        lambda m, x: x.unsqueeze(1).squeeze(1).view(1, 2, 2, -1).flatten(1, 2).unflatten(1, (4, 1)).squeeze()[None]
    ),
    "axes": Wrapped(lambda m, x: x.permute(0, 2, 3, 1).transpose(1, 2).relu().transpose(-1, 1)),
    "shuffle": Wrapped(lambda m, x: x.view(1, 2, 2, 9, 10).transpose(1, 2).reshape(1, 4, 9, 10).relu()),
    "pads": Wrapped(lambda m, x: F.pad(F.pad(x, (1, 2, 3, 0)), (0, 1), value=1.5)),
    "pools": Wrapped(lambda m, x: F.max_pool2d(x, 3, 2, 1) + F.avg_pool2d(x, 3, 2, 1)),
    "pools ceil": Wrapped(lambda m, x: F.max_pool2d(x, 2, 2, ceil_mode=True) + F.avg_pool2d(x, 2, ceil_mode=True)),
    "adaptive": Wrapped(lambda m, x: F.adaptive_avg_pool2d(x, (3, 5)) + F.adaptive_max_pool2d(x, (3, 5))),
    "pools 1d": Wrapped(lambda m, x: F.avg_pool1d(m.conv(x.flatten(2)), 4) + 1, conv=nn.Conv1d(4, 3, 3)),
    "adaptive 1d": Wrapped(lambda m, x: F.adaptive_avg_pool1d(m.conv(x.flatten(2)), 1), conv=nn.Conv1d(4, 3, 3)),
    "mean": Wrapped(lambda m, x: x.mean((1, -1), keepdim=True) + x.mean(3).mean(1)[:, None, :, None]),
    "upsample": Wrapped(lambda m, x: F.interpolate(x, scale_factor=2)),
    "upsample exact": Wrapped(lambda m, x: F.interpolate(x, (18, 20), mode="nearest-exact")),
    "upsample to size": Wrapped(lambda m, x: F.interpolate(x, (13, 7))),
    "convolutions": Wrapped(
        lambda m, x: m.b(m.a(x)),
        a=nn.Conv2d(4, 8, (3, 5), (2, 1), (1, 2), (1, 2), groups=2, bias=False),
        b=nn.Conv2d(8, 16, 3, padding="same", groups=8),
    ),
    "products": Wrapped(
        lambda m, x: m.fc(x.flatten(1) @ m.w) + torch.mm(x.flatten(1), m.w), fc=nn.Linear(6, 6), w=torch.randn(360, 6)
    ),
    "rows": Wrapped(lambda m, x: m.fc(x), fc=nn.Linear(10, 3)),
    "no-ops": Wrapped(
        lambda m, x: F.dropout(x.contiguous().detach().to(torch.float32), 0.5, m.training).clone().relu()
    ),
    "transposed weight": Wrapped(lambda m, x: F.linear(x, m.w.t()), w=nn.Parameter(torch.randn(10, 6))),
    "outputs": Wrapped(lambda m, x: (x.relu(), x.tanh())),
}


def _added_in_place(x: Tensor) -> Tensor:
    y = x * 2
    z = y.relu_()
    return y + z


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function(name, decomposed, tmp_path):
    if decomposed and name == "upsample exact":
        pytest.skip("it becomes an index of computed numbers")
    torch.manual_seed(0)
    x = torch.randn(1, 4, 9, 10) * 2
    check(saved(exported(FUNCTIONS[name], x, decomposed), tmp_path), FUNCTIONS[name], x)


def _viewed(x: Tensor) -> Tensor:
    y = x * 2
    flat = y.view(1, -1)
    flat.relu_()
    return y + 1


REFUSED: dict[str, tuple[Any, str]] = {
    "unknown operator": (
        lambda m, x: torch.erf(x),
        "erf (aten.erf.default) is an operator for which there is no kernel",
    ),
    "nearest": (lambda m, x: F.gelu(x), "nearest is hardswish"),
    "two maps": (lambda m, x: x @ x.transpose(2, 3), "multiplies two maps"),
    "mode": (lambda m, x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "constant"),
    "bilinear": (lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear"), "upsample_bilinear2d"),
    "divisor": (lambda m, x: F.avg_pool2d(x, 2, divisor_override=3), "has divisor_override=3"),
    "dilation": (lambda m, x: F.max_pool2d(x, 2, dilation=2), "dilation"),
    "rounding": (lambda m, x: torch.div(x, 2, rounding_mode="floor"), "has rounding_mode='floor'"),
    "half": (lambda m, x: x.half().relu(), "converts to another type"),
    "view": (lambda m, x: _viewed(x), "changes in place"),
    "constant output": (lambda m, x: (x.relu(), m.w * 2), "an output is the input, or a constant"),
    "adaptive": (lambda m, x: F.adaptive_avg_pool2d(x, 4), "supported are divisors"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_one_line(name, tmp_path):
    function, text = REFUSED[name]
    path = saved(exported(Wrapped(function, w=torch.ones(3)), torch.randn(1, 4, 9, 10)), tmp_path)
    with pytest.raises(UserError) as caught:
        load_pt2(path.read_bytes())
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_other_refusals(tmp_path):
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return x + self.count

    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, lambda y: y.relu(), lambda y: y.tanh(), (x,))

    x = torch.randn(1, 4, 9, 10)
    programs = {
        "has 2 inputs (a, b)": torch.export.export(Two(), (x, x)),
        "batch of 1, or a dynamic one": torch.export.export(nn.ReLU(), (x.expand(8, 4, 9, 10),)),
        "axis 2 is not fixed": torch.export.export(
            nn.ReLU(), (x,), dynamic_shapes=({2: torch.export.Dim("h", max=99)},)
        ),
        "aten.": torch.export.export(Branch(), (x,)),
        "has training=True": torch.export.export(nn.BatchNorm2d(4).train(), (x,)),
        "changes its state": torch.export.export(Counting(), (x,)).run_decompositions(),
    }
    for text, program in programs.items():
        with pytest.raises(UserError, match="") as caught:
            load_pt2(saved(program, tmp_path).read_bytes())
        assert text in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="Two cannot be exported for an input of"):
        export_module(Two(), (4, 9, 10))


def test_a_custom_operator_is_refused(tmp_path):
    with torch.library._scoped_library("kilobench_test", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
        library.impl("twice", lambda x: torch.empty_like(x), "Meta")
        module = Wrapped(lambda m, x: torch.ops.kilobench_test.twice(x))
        path = saved(exported(module, torch.randn(1, 4)), tmp_path)
    with pytest.raises(UserError, match="is no operator of ATen"):
        load_pt2(path.read_bytes())


def test_torch_is_not_needed(tmp_path):
    path = saved(exported(made("ds_cnn"), inputs("ds_cnn", 1)), tmp_path)
    code = (
        "import sys; from pathlib import Path; from kilobench.compile.imports.exported import load_pt2;"
        "load_pt2(Path(sys.argv[1]).read_bytes()); assert 'torch' not in sys.modules and 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_it_is_quick(tmp_path):
    path = saved(exported(made("mobilenet_v2"), inputs("mobilenet_v2", 1)), tmp_path)
    load_pt2(path.read_bytes())
    began = time.perf_counter()
    lower_program(load_pt2(path.read_bytes()))
    assert path.stat().st_size > 1_000_000 and time.perf_counter() - began < 1


def rewritten(path: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    """The same archive, one of whose members is changed, or left out for empty bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            data = change(data) if info.filename.endswith(member) else data
            if data:
                new.writestr(info.filename, data)
    changed = path.with_name("changed.pt2")
    changed.write_bytes(buffer.getvalue())
    return changed


def _edited(edit: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        found = json.loads(data)
        edit(found)
        return json.dumps(found).encode()

    return change


WEIGHTS = "_weights_config.json"
DAMAGED: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "no json": ("models/model.json", lambda data: data[:-9], "that is no JSON"),
    "deep json": ("models/model.json", lambda data: b"[" * 100_000, "that is no JSON"),
    "no program": ("models/model.json", lambda data: b"", "holds 0 exported programs"),
    "no weights": (WEIGHTS, lambda data: b"", "lacks the file"),
    "version": (
        "models/model.json",
        _edited(lambda d: d["schema_version"].update(major=7)),
        "version 7 of torch's schema",
    ),
    "pickle": (
        WEIGHTS,
        _edited(lambda d: [e.update(use_pickle=True) for e in d["config"].values()]),
        "a pickle, which is code",
    ),
    "short weights": ("weight_0", lambda data: data[:-4], "does not lie within"),
    "huge": (WEIGHTS, _edited(lambda d: _meta(d).update(sizes=[{"as_int": 2**27}] * 4)), "has the shape"),
    "negative": (
        WEIGHTS,
        _edited(lambda d: _meta(d).update(strides=[{"as_int": -1}] * 4)),
        "has a size that is not known",
    ),
    "offset": (WEIGHTS, _edited(lambda d: _meta(d).update(storage_offset={"as_int": 10**6})), "does not lie within"),
    "type": (WEIGHTS, _edited(lambda d: _meta(d).update(dtype=13)), "is of a type or layout"),
    "unknown tensor": (WEIGHTS, _edited(lambda d: d["config"].clear()), "lacks the tensor"),
    "unknown name": ("models/model.json", lambda data: data.replace(b'"name": "conv2d"', b'"name": "relu"', 1), ""),
    "null": ("models/model.json", _edited(lambda d: d["graph_module"].update(graph=None)), "lacks graph"),
    "no nodes": (
        "models/model.json",
        _edited(lambda d: d["graph_module"]["graph"].pop("nodes")),
        "not of torch's schema",
    ),
    "path": (
        WEIGHTS,
        _edited(lambda d: [e.update(path_name="../../../../etc/passwd") for e in d["config"].values()]),
        "lacks the file",
    ),
}


def _meta(config: Any) -> Any:
    return next(iter(config["config"].values()))["tensor_meta"]


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_line(name, tmp_path):
    member, change, text = DAMAGED[name]
    path = saved(exported(made("ds_cnn"), inputs("ds_cnn", 1)), tmp_path)
    with pytest.raises(UserError) as caught:
        load_pt2(rewritten(path, member, change).read_bytes())
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_archive_is_one_line(tmp_path):
    path = tmp_path / "x.pt2"
    path.write_bytes(b"PK\3\4 and more")
    with pytest.raises(UserError, match=r"^is no archive of torch\.export\.save"):
        load_pt2(path.read_bytes())
