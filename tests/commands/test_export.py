# SPDX-License-Identifier: Apache-2.0
"""``kilobench export``: what it writes compiles outside of the project, and computes the same."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kilobench.cli import main
from kilobench.commands.export import FLAGS, definitions
from kilobench.compile.emit import emit
from kilobench.compile.graph import Graph
from kilobench.compile.host import HostModel
from kilobench.compile.operator import bind
from kilobench.measuring.evaluate import measured_inputs
from tests.report.subjects import graph_file, small, two_outputs

ROOT = Path(__file__).parents[2]
GRAPHS = {"int8": small, "fp32": two_outputs, "binary": lambda: small("xnor")}
WARNINGS = ("-Wall", "-Wextra", "-Werror")
GCC = shutil.which("arm-none-eabi-gcc")


@pytest.fixture(scope="module", params=GRAPHS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Path]:
    graph, folder = GRAPHS[request.param](), tmp_path_factory.mktemp("export")
    assert main(["export", str(graph_file(folder, graph, request.param)), "--to", str(folder / "c")]) == 0
    return graph, folder / "c"


def zig(*arguments: str, folder: Path) -> None:
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *WARNINGS, *arguments]
    subprocess.run(command, cwd=folder, check=True)


def sources(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in (*sorted(folder.glob("src/*.c")), folder / "example/main.c")]


def printed(folder: Path, *words: str) -> list[float]:
    done = subprocess.run([str(folder / "run"), *words], capture_output=True, text=True, check=True)
    return [float(line.split("=")[1]) for line in done.stdout.splitlines()]


def test_on_a_host_it_computes_what_host_c_does(exported: tuple[Graph, Path], tmp_path: Path) -> None:
    graph, folder = exported
    zig("-Isrc", *sources(folder), "-o", "run", folder=folder)
    emit(graph, tmp_path, "same")
    host, inputs = HostModel(tmp_path), measured_inputs(graph, 2)
    zeros = np.full_like(inputs[:1], graph.tensors[graph.input].zero_point)
    for x, words in ((inputs[:1], ["input.bin"]), (inputs[1:], ["input.bin"]), (zeros, [])):
        (tmp_path / "input.bin").write_bytes(x.tobytes())
        wanted = np.hstack([output[0].astype(np.float64) for output in host.run_all(x)])
        assert np.array_equal(
            np.float32(printed(folder, *(str(tmp_path / word) for word in words))), np.float32(wanted)
        )


def test_an_input_of_another_size_is_told(exported: tuple[Graph, Path], tmp_path: Path) -> None:
    _, folder = exported
    (tmp_path / "input.bin").write_bytes(b"1")
    for path in (tmp_path / "input.bin", tmp_path / "none"):
        done = subprocess.run([folder / "run", path], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and str(path) in done.stderr


def test_it_compiles_for_bare_cores(exported: tuple[Graph, Path], tmp_path: Path) -> None:
    _, folder = exported
    for core in ("eabihf -mcpu=cortex_m4", "eabi -mcpu=cortex_m0plus"):
        abi, cpu = core.split()
        for source in sources(folder):
            made = str(tmp_path / f"{Path(source).stem}.o")
            zig("-target", f"thumb-freestanding-{abi}", cpu, "-Isrc", "-c", source, "-o", made, folder=folder)


@pytest.mark.skipif(GCC is None, reason="there is no arm-none-eabi-gcc: apt-get install gcc-arm-none-eabi")
def test_it_compiles_by_the_command_of_its_readme(exported: tuple[Graph, Path], tmp_path: Path) -> None:
    _, folder = exported
    command = re.search(r"^ {4}(arm-none-eabi-gcc .*)$", (folder / "README.md").read_text(), re.M)
    assert command is not None
    shutil.copytree(folder, tmp_path / "c")
    subprocess.run(["bash", "-c", f"{command[1]} -Werror"], cwd=tmp_path / "c", check=True)
    assert (tmp_path / "c" / "model.o").is_file()


def test_it_holds_the_kernels_that_are_needed_alone(exported: tuple[Graph, Path]) -> None:
    graph, folder = exported
    called = {bind(graph, op).kernel for op in graph.ops}
    words = ("softmax", "transpose", "depthwise", "binarize", "pool", "add")
    for file in {file for name, file in definitions().items() if any(word in name for word in words)}:
        held = {name for name, other in definitions().items() if other == file}
        assert (folder / "src" / file.name).is_file() == bool(held & called), file.name
    described = json.loads((folder / "library.json").read_text())
    assert re.fullmatch(r"[a-z0-9-]+", described["name"])
    listed = re.findall(r"src/(\w+\.c)", (folder / "CMakeLists.txt").read_text())
    assert listed == [path.name for path in sorted(folder.glob("src/*.c"))]
    assert all("SPDX-License-Identifier: Apache-2.0" in path.read_text() for path in folder.glob("src/kb_*.h"))


@pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake: apt-get install cmake")
def test_cmake_builds_it(exported: tuple[Graph, Path], tmp_path: Path) -> None:
    _, folder = exported
    for command in (["cmake", "-S", folder, "-B", tmp_path], ["cmake", "--build", tmp_path]):
        subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "example").is_file()


def test_every_kernel_that_is_declared_is_found() -> None:
    header = (ROOT / "hardware/kernels/kb_kernels.h").read_text()
    declared = set(re.findall(r"^(?!static).*\b(kb_\w+)\(", header, re.M))
    assert declared <= definitions().keys()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(graph_file(tmp_path, small()))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.c").touch()
    for place in (tmp_path / "there", tmp_path / "there" / "mine.c"):
        assert main(["export", model, "--to", str(place)]) == 2
        assert "not an empty folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["mine.c"]
    (tmp_path / "empty").mkdir()
    assert main(["export", model, "--to", str(tmp_path / "empty")]) == 0
