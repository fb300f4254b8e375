# SPDX-License-Identifier: Apache-2.0
"""Core files: what they say, what is refused, and that nothing else says it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kilobench.boards import Core
from kilobench.cli import main
from kilobench.commands.contract import checks
from kilobench.contracts import UserError
from kilobench.measuring.emulator import measure
from kilobench.plugins.cores import load_core, timing_tables
from kilobench.plugins.registry import load_registry
from tests.device.test_boards import model
from tests.untrained import emitted

ROOT = Path(__file__).parents[2]
REGISTRY = load_registry()
ENTRIES = REGISTRY.entries["cores"]
CORES: list[Core] = [entry.value for entry in ENTRIES.values()]  # type: ignore[misc]
GOOD = ENTRIES["cortex-m4f"].path.read_text()


@pytest.mark.parametrize("name", ENTRIES)
def test_every_core_holds_its_contract(name: str) -> None:
    assert ENTRIES[name].path == ROOT / "hardware" / "cores" / f"{name}.yaml"
    for _, check in checks(ENTRIES[name], REGISTRY):
        check()


def test_every_table_is_that_of_a_core() -> None:
    assert {core.timing for core in CORES} - {""} == set(timing_tables())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("counter: ", "counters: ", "no key 'counters'; nearest is 'counter'"),
        ("reference: ", "# ", "key 'reference' is missing"),
        ("name: cortex-m4f", "name: 4", "name: 4 is no text"),
        (
            "name: cortex-m4f",
            "name: ../x",
            "name: a core's name is of lower-case letters, digits and dashes, 60 at most, not '../x'",
        ),
        ("counter: dwt", "counter: dtw", "counter: no 'dtw'; nearest is 'dwt'; there are dwt, systick, ccount, mcycle"),
        ("counter: dwt", "counter: ccount", "counter: on ARM the emulator has dwt and systick, not 'ccount'"),
        ("counter: dwt", "counter: mcycle", "counter: on ARM the emulator has dwt and systick, not 'mcycle'"),
        ("UC_CPU_ARM_", "UC_CPU_ARM64_", "of none of the architectures ARM, RISCV32, as in UC_CPU_ARM_CORTEX_M4"),
        ("[dsp, fpu]", "[dps]", "features: no 'dps'; nearest is 'dsp'; there are dsp, fpu"),
        ("[dsp, fpu]", "dsp", "features: 'dsp' is no list of texts"),
        ("  gcc: ", "  gc: ", "flags: no 'gc'; nearest is 'gcc'; there are zig, gcc"),
        ("  zig: ", "  # ", "flags: 'zig' is missing"),
        ("cpu=cortex-m4 ", "cpu='x ", "flags: gcc: \"-mthumb -mcpu='x -mfpu"),
        ("timing: cortex-m4", "timing: cortex-m5", "timing: no 'cortex-m5'; nearest is 'cortex-m"),
        ("timing: cortex-m4", "", "emulated has flags, emulator and timing; this one has flags and emulator only"),
        ("timing: cortex-m4", "timing: cortex-m4\nestimated: 1", "estimated: 1 is not true or false"),
        ("cycles_error: 6", "cycles_error: 0", "cycles_error: 0 is not a whole number from 1 to 99"),
        ("cycles_error: 6", "cycles_error: 6.5", "cycles_error: 6.5 is not a whole number from 1 to 99"),
    ],
)
def test_mistakes_are_told_in_one_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as error:
        load_core(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("CORTEX_M4", "CORTEX_M44", "unicorn has no 'UC_CPU_ARM_CORTEX_M44'; nearest is 'UC_CPU_ARM_CORTEX_M4'"),
        ("[dsp, fpu]", "[fpu]", "the flags give dsp, the features do not"),
        ("+vfp4d16sp", "", "the flags give no fpu, the features do"),
    ],
)
def test_the_contract_finds_what_only_tools_can_tell(
    old: str, new: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cores").mkdir()
    path = tmp_path / "cores" / "mine.yaml"
    path.write_text(GOOD.replace(old, new).replace("name: cortex-m4f", "name: mine"))
    assert main(["test", str(path)]) == 1
    assert re.search(rf"FAILED  mine: can be emulated: .*{re.escape(message)}", capsys.readouterr().out)


def test_a_core_comes_from_a_plug_in_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An M4 without FPU: its YAML alone, with a table that there is, and a board that has it."""
    for folder in ("cores", "boards"):
        (tmp_path / folder).mkdir()
    soft = GOOD.replace("name: cortex-m4f", "name: soft-m4").replace("[dsp, fpu]", "[dsp]")
    soft = re.sub(r"zig: .*", "zig: -target thumb-freestanding-eabi -mcpu=cortex_m4", soft)
    (tmp_path / "cores" / "soft-m4.yaml").write_text(soft)
    board = load_registry().find("boards", "nucleo_l476rg").path.read_text()
    board = board.replace("core: cortex-m4f", "core: soft-m4").replace("name: nucleo_l476rg", "name: mine")
    (tmp_path / "boards" / "mine.yaml").write_text(board)
    assert main(["--plugins", str(tmp_path), "list", "cores"]) == 0
    assert "  soft-m4        Arm Cortex-M4 with FPU: emulated cortex-m4\n" in capsys.readouterr().out
    graph = model("float32")
    expected = emitted(graph, tmp_path / "model", 1)
    cycles = []
    for plugins, name in (([], "nucleo_l476rg"), ([str(tmp_path)], "mine")):
        found = load_registry(plugins).get("boards", name)
        cycles += measure(tmp_path / "model", graph, expected, found, tmp_path / "build", "zig").cycles
    assert cycles[1] > 2 * cycles[0]


def words(path: Path) -> Iterator[str]:
    """What a file says to the machine: names and texts of Python without docstrings, else all of it."""
    if path.suffix != ".py":
        yield path.read_text()
        return
    tree = ast.parse(path.read_text())
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            yield node.value
        elif isinstance(node, ast.Name | ast.alias):
            yield node.id if isinstance(node, ast.Name) else node.name


FOLDERS = ("kilobench", "hardware/kernels", "hardware/firmware", "hardware/platformio", "methods", "networks", "tasks")


def test_the_files_of_a_core_are_its_yaml_and_its_table() -> None:
    """No other file names a core; kilobench new board writes an example."""
    names = "|".join(re.sub("[-_]", "[-_]", core.name) for core in CORES)
    named = re.compile(rf"(?<![\w-])({names})(?![\w-])")
    paths = [
        path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".c", ".h", ".json")
    ]
    tables = ROOT / "kilobench" / "device" / "timing"
    assert len(paths) > 100
    found = {path for path in paths if path.parent != tables and any(map(named.search, words(path)))}
    assert found == set()
    assert named.search('core == "cortex-m7"') and not named.search("cortex-m44 and Cortex-M7")
