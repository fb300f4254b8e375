# SPDX-License-Identifier: Apache-2.0
"""Models as the firmware of MLPerf Tiny's benchmarks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kilobench.arguments import parser
from kilobench.cli import main
from kilobench.compile.ends import PIXELS
from kilobench.compile.graph import DType, Graph
from kilobench.compile.simulate import simulate
from kilobench.contracts import UserError
from kilobench.data.mlperf import BENCHMARKS
from kilobench.device.emulator import EmulatedBoard
from kilobench.plugins.registry import load_registry
from kilobench.report.benchmark import as_benchmark
from kilobench.report.models import Subject, load_subject
from tests.compile.graphs import Builder
from tests.report.subjects import graph_file

BOARD = "nucleo_l4r5zi"


def network(shape: tuple[int, int, int], dtype: DType, classes: int) -> Graph:
    """Every 16th pixel of an image, or all values, make the classes."""
    b = Builder(0)
    x = source = b.tensor(shape, dtype)
    if shape[2] == 3:
        x = b.pool(x, "max_pool", (16, 16), (16, 16))
    return b.graph(source, b.conv(x, dtype, classes, x.shape[:2], (1, 1), (0, 0)))


def subject(shape: tuple[int, int, int], dtype: DType, classes: int, *, imported: bool = True) -> Subject:
    return Subject("m", "m", network(shape, dtype, classes), "once" if imported else "")


def test_images_are_pixels_of_eight_bits() -> None:
    given = subject((32, 32, 3), "int8", 10)
    made = as_benchmark(given, "ic01").graph
    p = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    q = (p.astype(int) - 128).astype(np.int8)
    assert made.tensors[made.input].dtype == "uint8"
    assert (simulate(made, p)[made.output] == simulate(given.graph, q)[given.graph.output]).all()


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_images_of_networks_of_our_own_are_on_the_grid_that_they_are_trained_on(dtype: DType) -> None:
    made = as_benchmark(subject((96, 96, 3), dtype, 2, imported=False), "vww01").graph
    source = made.tensors[made.input]
    assert (source.dtype, source.scale, source.zero_point) == ("uint8", *PIXELS)
    assert as_benchmark(Subject("m", "m", made), "vww01").graph == made


def test_features_are_taken_as_they_are_and_autoencoders_judge() -> None:
    features = subject((49, 10, 1), "int8", 12)
    assert as_benchmark(features, "kws01").graph == features.graph
    made = as_benchmark(subject((1, 1, 640), "int8", 640), "ad01")
    source, score = made.graph.tensors[made.graph.input], made.graph.tensors[made.graph.output]
    assert (source.dtype, source.shape, score.dtype, score.shape) == ("float32", (1, 1, 640), "float32", (1, 1, 1))
    assert made.benchmark == "ad01" and made.published is None
    own = subject((1, 1, 640), "int8", 640, imported=False)
    codes = as_benchmark(own, "ad01").graph.tensors[own.graph.input]
    assert codes.scale == 100 * own.graph.tensors[own.graph.input].scale
    with pytest.raises(UserError, match=r"^m: a float32 network takes other values, in units of 100; take int8$"):
        as_benchmark(subject((1, 1, 640), "float32", 640, imported=False), "ad01")


@pytest.mark.parametrize(
    ("shape", "dtype", "classes", "name", "told"),
    [
        ((49, 10, 1), "int8", 12, "ic01", r"uint8 or int8 32x32x3 and make 10 classes; this one can be kws01"),
        ((32, 32, 3), "int8", 10, "vww01", r"uint8 or int8 96x96x3 and make 2 classes; this one can be ic01"),
        ((32, 32, 3), "int8", 100, "ic01", r"uint8 or int8 32x32x3 and make 10 classes"),
        ((32, 32, 3), "float32", 10, "ic01", r"uint8 or int8 32x32x3 and make 10 classes"),
        ((49, 10, 1), "float32", 12, "kws01", r"int8 49x10x1 and make 12 classes"),
        ((1, 1, 640), "int8", 128, "ad01", r"float32 or int8 1x1x640 and make them again"),
    ],
)
def test_what_does_not_suit_is_refused_in_one_line(
    shape: tuple[int, int, int], dtype: DType, classes: int, name: str, told: str
) -> None:
    sizes = "x".join(map(str, shape))
    said = rf"^m takes {dtype} {sizes} and makes {dtype} 1x1x{classes}; --as {name} is for models that take {told}$"
    with pytest.raises(UserError, match=said):
        as_benchmark(subject(shape, dtype, classes), name)


def test_measure_keeps_firmware_of_a_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The model's digest stays known beside its name."""
    path = graph_file(tmp_path, network((32, 32, 3), "int8", 10))
    arguments = ["measure", str(path), "--as", "ic01", "--keep", str(tmp_path / "kept")]
    assert main(arguments) == 0
    assert "uint8 32x32x3 to int8 1x1x10" in capsys.readouterr().out
    graph = as_benchmark(load_subject(path), "ic01").graph
    with EmulatedBoard(tmp_path / "kept" / f"{BOARD}.elf", load_registry().get("boards", BOARD)) as emulated:
        emulated.run()
        emulated.write(b"profile%identity 7%")
        said = emulated.run().decode()
    assert "m-model-[ic01]\r\n" in said and f"model={graph.digest()}," in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["m.elf", "--as", "ic01"],
            "m.elf is no model's file; --as and --rounding say how the firmware of a model is built",
        ),
        (["m.elf", "--rounding", "once"], "m.elf is no model's file; "),
        (["m.elf", "--as", "ic1"], "--as is no 'ic1'; nearest is 'ic01'; there are ic01, kws01, vww01, ad01"),
        (["m.tflite", "--as", "ic01"], "m.tflite is no file"),
    ],
)
def test_emulate_says_what_it_cannot_do(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) if "ic1" in arguments else pytest.MonkeyPatch.context():
        assert main(["emulate", *arguments, "--board", BOARD]) == 2
    assert capsys.readouterr().err.startswith(f"kilobench: {told}")


def test_the_command_line_offers_every_benchmark() -> None:
    """Its parser names them by itself: what it imports, every command waits for."""
    for name in BENCHMARKS:
        assert parser().parse_args(["measure", "m.tflite", "--as", name]).benchmark == name
    with pytest.raises(SystemExit):
        parser().parse_args(["measure", "m.tflite", "--as", "sww01"])
    loaded = "import sys, kilobench.arguments as a; a.parser(); assert 'kilobench.data' not in sys.modules"
    subprocess.run([sys.executable, "-c", loaded], check=True, timeout=60)
