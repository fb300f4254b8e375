# SPDX-License-Identifier: Apache-2.0
"""How operators are found, and what random instances and modules of torch find in their files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from kilobench.commands.instances import instance, random_inputs
from kilobench.compile.emit import emit
from kilobench.compile.graphcheck import check_op
from kilobench.compile.kernels import constant
from kilobench.compile.lower import LoweringError, lower
from kilobench.compile.operator import kind_of, kinds, operator, sources
from kilobench.compile.simulate import simulate
from kilobench.contracts import UserError
from kilobench.device import arduino
from kilobench.paths import hardware_dir
from kilobench.plugins.operators import plugin_sources
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import every_operator, random_graph

EXAMPLE = Path(__file__).parents[1] / "plugins/channel_scale"

SOFTSIGN = '''"""x / (1 + |x|)."""
import numpy as np
from kilobench.compile.operator import Operator

class Softsign(Operator):
    types = {("float32", "float32"): {}}
    modules = ("Softsign",)
    header = "softsign.h"

    def compute(self, values):
        return values[0] / (np.float32(1) + np.abs(values[0]))

    def fields(self):
        return {"count": int(np.prod(self.output.shape))}
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example, given by the environment."""
    shutil.copytree(EXAMPLE, tmp_path / "mine")
    monkeypatch.setenv("KILOBENCH_PLUGINS", str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.mark.parametrize(("kind", "read", "made"), every_operator())
def test_random_instances_of_every_operator_are_made_of_its_declaration(kind: str, read: str, made: str) -> None:
    for seed in range(5):
        graph = instance(kind, (read, made), seed)  # type: ignore[arg-type]
        (op,) = graph.ops
        check_op(op, [graph.tensors[name] for name in op.inputs], graph.tensors[op.output])
        values = simulate(graph, random_inputs(graph, 2, seed))[op.output]
        assert values.shape == (2, *graph.tensors[op.output].shape)
        assert values.dtype == {"bit": np.uint8}.get(made, made)


def test_one_that_is_put_there_is_found_by_all_generators(plugin: Path) -> None:
    assert "channel_scale" in kinds()
    assert {made for kind, _, made in every_operator() if kind == "channel_scale"} == {"float32", "int8"}
    made = {op.kind for seed in range(60) for op in random_graph(seed).ops}
    assert "channel_scale" in made


def test_its_c_lies_beside_the_model_of_those_alone_that_use_it(plugin: Path, tmp_path: Path) -> None:
    for kind in ("channel_scale", "softmax"):
        (tmp_path / kind).mkdir()
        emit(instance(kind, ("int8", "int8"), 0), tmp_path / kind, kind)
    assert {path.name for path in sources("channel_scale")} == {"channel_scale.c", "channel_scale.h"}
    assert {path.name for path in (tmp_path / "channel_scale").iterdir()} > {"channel_scale.c", "channel_scale.h"}
    assert {path.name for path in (tmp_path / "softmax").iterdir()} == {"model.c", "model_config.h"}
    operators, kernels = plugin_sources()
    assert [path.name for path in operators] == ["channel_scale.py"]
    assert [path.name for path in kernels] == ["channel_scale.c", "channel_scale.h"]


def test_real_boards_get_it_too(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    emit(instance("channel_scale", ("int8", "int8"), 0), tmp_path / "model", "x")
    arduino._write_project(tmp_path / "model", load_registry().get("boards", "nucleo_l476rg"), tmp_path / "project")
    assert {path.name for path in (tmp_path / "project/src").iterdir()} > {
        "channel_scale.c",
        "channel_scale.h",
        "model.c",
    }


def test_a_name_that_is_taken_is_refused(plugin: Path, tmp_path: Path) -> None:
    (plugin / "kernels/requantise.c").touch()
    with pytest.raises(UserError, match=r"requantise\.c has the name of a file that every program holds"):
        emit(instance("channel_scale", ("int8", "int8"), 0), tmp_path, "x")


def test_two_of_one_name_are_refused(plugin: Path) -> None:
    shutil.copy(plugin / "ops/channel_scale.py", plugin / "ops/softmax.py")
    with pytest.raises(UserError, match=r"two operators are called 'softmax': .*ops/softmax\.py and .*ops/softmax\.py"):
        operator("softmax")


@pytest.mark.parametrize(
    ("text", "message"),
    [("import nothing_of_this_name", "ModuleNotFoundError"), ("x = 1", "it holds no subclass of Operator")],
)
def test_a_broken_file_is_one_line(plugin: Path, text: str, message: str) -> None:
    (plugin / "ops/broken.py").write_text(text)
    with pytest.raises(UserError, match=rf"ops/broken\.py cannot be used: {message}"):
        operator("broken")
    assert operator("channel_scale").types


def test_a_module_of_torch_may_be_an_operator_of_a_plugin(plugin: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Softsign(), nn.Flatten(), nn.Linear(12, 2)).eval()
    assert kind_of(net[1]) is None
    with pytest.raises(LoweringError, match=r"1 \(aten.abs.default\) is an operator for which there is no kernel"):
        lower(net, (1, 2, 2))
    (plugin / "ops/softsign.py").write_text(SOFTSIGN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILOBENCH_PLUGINS", str(plugin / "ops/softsign.py"))
        assert [op.kind for op in lower(net, (1, 2, 2)).ops] == ["conv2d", "softsign", "conv2d"]


def test_numbers_that_kernels_share_are_read_from_their_header() -> None:
    header = (hardware_dir() / "kernels/kb_kernels.h").read_text()
    assert f"#define KB_BITS_FEW {constant('KB_BITS_FEW')}\n" in header
    with pytest.raises(LookupError, match="no number KB_NOTHING"):
        constant("KB_NOTHING")
