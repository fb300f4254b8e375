# SPDX-License-Identifier: Apache-2.0
"""Kernels and models on another emulator, QEMU, where it is installed: every operator's output is that of host C."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kilobench.boards import Board, Memory
from kilobench.compile.emit import emit
from kilobench.compile.host import HostModel, zig
from kilobench.device.build import linker_script
from kilobench.paths import hardware_dir
from kilobench.plugins.registry import load_registry
from tests.compile.graphs import random_graph, random_inputs
from tests.fuzz.batch import Case

AN386 = Board(
    name="mps2_an386",
    title="QEMU mps2-an386",
    mcu="AN386",
    core=load_registry().get("cores", "cortex-m4f"),
    clock_hz=25_000_000,
    flash=Memory(0, 4 << 20),
    ram=(Memory(0x20000000, 4 << 20),),
    reference="Arm application note AN386",
)
INPUTS = 8
FLAGS = (
    f"{AN386.core.flags['zig']} -O2 -std=c99 -ffreestanding -ffp-contract=off "
    "-fno-sanitize=undefined -Wl,--gc-sections -ffunction-sections -fdata-sections"
)


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 5, 6, 9])
def test_every_operator_equals_the_host(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    emit(graph, tmp_path, "m")
    inputs = Case("qemu", graph, random_inputs(graph, INPUTS, seed)).input_bytes
    data = ",".join(map(str, inputs))
    (apart := tmp_path / "qemu").mkdir()  # from what the host compiles
    (apart / "inputs.h").write_text(f"#define INPUTS {INPUTS}\nstatic const uint8_t inputs[] = {{{data}}};\n")
    script, elf = tmp_path / "link.ld", tmp_path / "a.elf"
    script.write_text(linker_script(AN386))
    kernels, firmware = hardware_dir() / "kernels", hardware_dir() / "firmware"
    main = shutil.copy(Path(__file__).with_name("qemu_main.c"), apart)
    sources = [*kernels.glob("*.c"), firmware / "libc.c", firmware / "crc32.c", tmp_path / "model.c", main]
    flags = [*FLAGS.split(), f"-I{apart}", f"-I{tmp_path}", f"-I{kernels}", f"-I{firmware}", "-T", str(script)]
    zig("cc", *flags, *map(str, sources), output=elf, what="the model")
    command = ["qemu-system-arm", "-machine", "mps2-an386", "-nographic", "-semihosting", "-kernel", str(elf)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL)
    host = HostModel(tmp_path)
    expected = [
        "".join(f"{crc:08x}" for _, crc in host.checksums(x))
        for x in np.frombuffer(inputs, dtype=np.uint8).reshape(INPUTS, -1)
    ]
    assert done.stdout.split() == expected
    assert len(set(expected)) > 1
