# SPDX-License-Identifier: Apache-2.0
"""Costs of assembled sequences against counts made by hand from docs/timing.md."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from kilobench.boards import Core
from kilobench.device import thumb
from kilobench.device.blocks import BlockCost
from kilobench.device.timing import block_cost
from kilobench.plugins.registry import load_registry

CORES: list[Core] = [entry.value for entry in load_registry().entries["cores"].values()]  # type: ignore[misc]
TARGETS = {core.timing: core.flags["zig"].split() for core in CORES if core.timing}

M4 = {
    "arithmetic": ("adds r0, r1, r2; muls r0, r1; nop", 3),
    "multiply and accumulate": ("mla r0, r1, r2, r3; smlad r4, r5, r6, r7; smlal r0, r1, r2, r3", 3),
    "divide": ("sdiv r0, r1, r2; nop", 8),
    "it is free": ("it eq; addeq r0, #1", 1),
    "barrier": ("dsb; isb", 8),
    "load alone": ("ldr r0, [r1]; adds r2, #1", 3),
    "loads in a row": ("ldr r0, [r1]; ldr r2, [r1, #4]; ldr r3, [r1, #8]", 4),
    "load of a loaded address": ("ldr r0, [r1]; ldr r2, [r0]", 4),
    "address from the instruction before": ("adds r1, r2, r3; ldr r0, [r1]", 4),
    "store": ("str r0, [r1]; adds r2, #1", 2),
    "store with register offset": ("str r0, [r1, r2]; adds r2, #1", 3),
    "store right after load": ("ldr r0, [r1]; str r3, [r1, r2]", 3),
    "load right after store": ("str r0, [r1]; ldr r2, [r3]", 4),
    "write-back twice on one base": ("ldr r0, [r1], #4; nop; ldr r2, [r1], #4; ldr r3, [r1], #4", 7),
    "double words": ("ldrd r0, r1, [r2]; nop; strd r0, r1, [r2]", 7),
    "multiple": ("ldm r0!, {r1, r2, r3}; push {r4, r5}; pop {r4, r5}", 4 + 3 + 3),
    "untaken branch": ("beq 1f; 1:", 1),
    "float": ("vadd.f32 s0, s1, s2; vmul.f32 s3, s4, s5", 2),
    "float multiply-add": ("vmla.f32 s0, s1, s2; nop", 4),
    "float result used at once": ("vadd.f32 s0, s1, s2; vmul.f32 s3, s0, s5", 3),
    "float result used as addend": ("vmul.f32 s0, s1, s2; vmla.f32 s0, s4, s5", 4),
    "float load and divide": ("vldr s0, [r0]; nop; vdiv.f32 s1, s2, s3", 2 + 1 + 14),
    "status register": ("mrs r0, primask; nop", 3),
}
M0PLUS = {
    "arithmetic": ("adds r0, r1, r2; muls r0, r1", 2),
    "load and store": ("ldr r0, [r1]; str r0, [r1]; ldrb r2, [r1]", 6),
    "multiple": ("ldm r0!, {r1, r2, r3}; push {r4, r5}", 7),
    "return by pop": ("pop {r4, pc}", 3 + 2 - 1),
    "call, without its taken branch": ("bl 1f; 1:", 2),
    "status register": ("mrs r0, primask; nop", 4),
}
M3 = {
    "as on the M4": ("adds r0, r1, r2; ldr r0, [r1]; ldr r2, [r0]", 1 + 2 + 2),
    "multiply": ("muls r0, r1; mla r0, r1, r2, r3; mls r0, r1, r2, r3", 1 + 2 + 2),
    "long multiply": (
        "umull r0, r1, r2, r3; smull r0, r1, r2, r3; umlal r0, r1, r2, r3; smlal r0, r1, r2, r3",
        4 + 4 + 6 + 6,
    ),
}
M33 = {
    "arithmetic": ("adds r0, r1, r2; add.w r3, r4, r5; nop", 3),
    "nothing with a nop behind it, but with one before": ("nop; adds r0, r1, r2; adds r3, r4, r5", 2),
    "a branch that is not taken": ("adds r0, r1, r2; beq 1f; 1:", 1),
    "a branch behind a wide instruction": ("add.w r0, r1, r2; beq 1f; 1:", 2),
    "the end of a loop, by the flags just set": ("1: subs r0, #1; bne 1b", 1 + 1),
    "the end of a loop, by flags set before": ("1: subs r0, #1; mov r1, r2; bne 1b", 2),
    "a jump with the instruction before": ("mov r1, r2; b 1f; nop; 1:", 1 + 1),
    "it is free": ("cmp r0, r1; it eq; moveq r2, r3", 2),
    "a load used at once": ("ldr r0, [r1]; add.w r2, r0, r3", 3),
    "a load used one cycle later": ("ldr r0, [r1]; mov r4, r5; add.w r2, r0, r3", 3),
    "a load stored at once": ("ldr r0, [r1]; str r0, [r2]", 2),
    "loads and stores": ("ldr r0, [r1]; ldr r2, [r1, #4]; str r3, [r1]; ldr r4, [r1]", 4),
    "double words": ("ldrd r0, r1, [r2]; strd r3, r4, [r2]", 4),
    "multiple": ("ldm r0!, {r1, r2, r3}; push {r4, r5}", 3 + 2),
    "a register shifted on its way in": ("add.w r0, r1, r2, lsl #4; add.w r3, r0, r4", 3),
    "only shifted": ("lsl.w r0, r1, #4; add.w r3, r0, r4; ror.w r5, r3, r6; uxtb.w r5, r5, ror #8", 4),
    "constants": ("add.w r0, r1, #1; add.w r2, r0, #255; eor r3, r2, #0x1b1b1b1b; add.w r4, r3, #1", 4),
    "a shifted constant": ("eor r0, r1, #0x1fc0; add.w r3, r0, r4", 3),
    "a shifted constant that sets flags": ("ands r0, r1, #0x1fc0; nop.w", 3),
    "a product used at once": ("mul r0, r1, r2; add.w r3, r0, r4", 3),
    "a product that sets flags": ("muls r0, r1; nop.w", 3),
    "accumulation": ("smlad r0, r1, r2, r0; smlad r0, r3, r4, r0; mla r0, r5, r6, r0", 3),
    "divide": ("sdiv r0, r1, r2; nop.w", 8),
    "float": ("vadd.f32 s0, s1, s2; vmul.f32 s3, s4, s5; vmaxnm.f32 s6, s1, s2", 3),
    "float result used at once": ("vadd.f32 s0, s1, s2; vmul.f32 s3, s0, s5", 3),
    "float accumulation": ("vfma.f32 s0, s1, s2; vfma.f32 s0, s3, s4", 4),
    "float behind an accumulation": ("vfma.f32 s0, s1, s2; add.w r0, r1, r2; add.w r3, r1, r2; vadd.f32 s3, s4, s5", 4),
    "float divide": ("vdiv.f32 s0, s1, s2; nop.w", 15),
    "two registers out of the FPU, and into it": ("vmov r0, r1, s2, s3; vmov s4, s5, r2, r3", 2 + 1),
}
M7 = {
    "a pair": ("add.w r0, r1, r2; sub.w r3, r4, r5", 1),
    "both set the flags": ("adds r0, r1, r2; subs r3, r4, r5", 1),
    "both write a register": ("add.w r0, r1, r2; sub.w r0, r4, r5", 2),
    "a carry": ("adds r0, r1, r2; adc r3, r4, r5", 2),
    "three": ("add.w r0, r1, r2; sub.w r3, r4, r5; add.w r6, r1, r2", 2),
    "a chain": ("add.w r0, r1, r2; sub.w r3, r0, r5; add.w r4, r3, r3", 3),
    "operands that capstone leaves out": ("add.w r2, r3, r4; pkhbt r0, r1, r2", 2),
    "load and arithmetic": ("ldr r0, [r1]; add.w r2, r3, r4; ldr r5, [r6]; add.w r7, r3, r4", 2),
    "two loads": ("ldr r0, [r1]; ldr r2, [r1, #4]; ldr r3, [r1, #8]", 3),
    "a load used at once": ("ldr r0, [r1]; add.w r2, r0, r3", 3),
    "a load used one cycle later": ("ldr r0, [r1]; add.w r4, r5, r6; nop; nop; add.w r2, r0, r3", 3),
    "written-back base": ("ldr r0, [r1], #4; ldr r2, [r1], #4; add.w r1, r1, r3", 3),
    "one multiplier": ("mul r0, r1, r2; mul r3, r4, r5", 2),
    "accumulation": ("smlad r0, r1, r2, r0; smlad r0, r3, r4, r0; smlad r0, r5, r6, r0", 3),
    "long accumulation": ("smlal r0, r1, r2, r3; smlal r0, r1, r4, r5", 2),
    "a product used at once": ("mul r0, r1, r2; add.w r3, r0, r4", 3),
    "compare and branch": ("cmp r0, r1; beq 1f; 1:", 1),
    "condition": ("cmp r0, r1; it eq; moveq r2, r3", 2),
    "multiple": ("ldm r0!, {r1, r2, r3, r4}; nop; push {r4, r5}", 2 + 1 + 1),
    "multiple, alone": ("ldm r0!, {r1, r2, r3}; add.w r4, r5, r6; add.w r7, r5, r6", 2 + 1),
    "divide": ("sdiv r0, r1, r2; nop", 8),
    "float": ("vadd.f32 s0, s1, s2; add.w r0, r1, r2; vmul.f32 s3, s4, s5; ldr r3, [r4]", 2),
    "float result used at once": ("vadd.f32 s0, s1, s2; vmul.f32 s3, s0, s5", 4),
    "float accumulation": ("vmla.f32 s0, s1, s2; vmla.f32 s0, s3, s4", 4),
    "float divide": ("vdiv.f32 s0, s1, s2; nop", 15),
}
HAZARD3 = {
    "arithmetic": ("add a0, a1, a2; c.addi a0, 1; lui a3, 5; slt a4, a1, a2", 4),
    "multiply, any half": ("mul a0, a1, a2; add a0, a0, a1; mulhu a3, a1, a2; mulhsu a4, a1, a2; mulh a4, a3, a4", 5),
    "divide": ("divu a0, a1, a2; rem a3, a1, a2; nop", 19 + 19 + 1),
    "loads in a row": ("lw a0, (a1); lh a2, 4(a1); lbu a3, 8(a1)", 3),
    "a load used at once": ("lw a0, (a1); add a2, a0, a3", 1 + 2),
    "in 16 bits": ("c.lw a0, (a1); c.add a2, a0; c.lw a0, (a1); c.addi a0, 1; c.lw a0, (a1); c.mv a2, a0", 3 * 3),
    "of the stack": ("c.lwsp a0, 4(sp); c.srai a0, 3; c.lwsp ra, 8(sp); ret", 3 + 3),
    "what overwrites it": ("lw a0, (a1); li a0, 3; c.lw a0, (a1); c.li a0, 3; c.lw a0, (a1); c.mv a0, a2", 6),
    "a loaded address": ("lw a0, (a1); lw a2, (a0); sw a3, (a2)", 1 + 2 + 2),
    "stored as it was loaded": (
        "lw a0, (a1); sw a0, 4(a1); c.lw a0, (a1); c.sw a0, 4(a1); lw a0, (a1); c.swsp a0, 4(sp)",
        6,
    ),
    "a load right after a store": ("sw a0, (a1); lw a2, (a1); nop", 3),
    "a condition that was loaded": ("lw a0, (a1); beqz a0, 1f; 1:", 1 + 2),
    "a jump to what was loaded": ("lw a0, (a1); jr a0", 1 + 2),
    "control registers": ("csrr a0, mscratch; csrw mscratch, a0; csrrsi a1, mstatus, 8; fence", 4),
    "a jump, without its second cycle": ("j 1f; 1:", 1),
}


def assemble(text: str, table: str, folder: Path) -> bytes:
    source = folder / "a.s"
    arm = ".syntax unified\n.thumb\n" if "thumb" in TARGETS[table][1] else ""
    source.write_text(arm + "\n".join(text.split(";")) + "\n")
    command = [sys.executable, "-m", "ziglang", "cc", *TARGETS[table], "-c", str(source), "-o", str(folder / "a.o")]
    subprocess.run(command, check=True, capture_output=True)
    with (folder / "a.o").open("rb") as file:
        section = ELFFile(file).get_section_by_name(".text")
        assert section is not None
        return section.data()


@pytest.mark.parametrize("name", M4)
def test_cortex_m4(name: str, tmp_path: Path) -> None:
    text, cycles = M4[name]
    code = assemble(text, "cortex-m4", tmp_path)
    wide = sum(1 for address in wide_at_odd_halfwords(code))
    assert block_cost(code, 0x1000, "cortex-m4").always == 2 * cycles + wide


def wide_at_odd_halfwords(code: bytes) -> list[int]:
    """Addresses of 32-bit instructions that do not lie on words: their first five bits are 0b11101, 0b11110 or 0b11111."""
    address, found = 0, []
    while address < len(code):
        wide = code[address + 1] >> 3 in (0b11101, 0b11110, 0b11111)
        found += [address] if wide and address % 4 == 2 else []
        address += 4 if wide else 2
    return found


@pytest.mark.parametrize("name", M0PLUS)
def test_cortex_m0plus(name: str, tmp_path: Path) -> None:
    text, cycles = M0PLUS[name]
    cost = block_cost(assemble(text, "cortex-m0plus", tmp_path), 0x1000, "cortex-m0plus")
    assert cost == BlockCost(2 * cycles, 2, text.count(";") + (":" not in text))


@pytest.mark.parametrize(
    ("text", "always"),
    [
        (M0PLUS["arithmetic"][0], 2),
        (M0PLUS["load and store"][0], 6),
        (M0PLUS["multiple"][0], 7),
        ("pop {r4, pc}", 4 + 2 - 2),
        ("bl 1f; 1:", 4 - 2),
        ("blx r0", 3 - 2),
        ("mrs r0, primask; nop", 4 + 1),
    ],
)
def test_cortex_m0(text: str, always: int, tmp_path: Path) -> None:
    """DDI 0432, table 3-1: as the M0+, but a taken branch costs a cycle more, as do barriers."""
    cost = block_cost(assemble(text, "cortex-m0", tmp_path), 0x1000, "cortex-m0")
    assert (cost.always, cost.entry) == (2 * always, 2 * 2)


@pytest.mark.parametrize("name", M3)
def test_cortex_m3(name: str, tmp_path: Path) -> None:
    text, cycles = M3[name]
    code = assemble(text, "cortex-m3", tmp_path)
    assert block_cost(code, 0x1000, "cortex-m3").always == 2 * cycles + len(wide_at_odd_halfwords(code))


@pytest.mark.parametrize("name", M33)
def test_cortex_m33(name: str, tmp_path: Path) -> None:
    text, cycles = M33[name]
    assert block_cost(assemble(text, "cortex-m33", tmp_path), 0x1000, "cortex-m33").always == 2 * cycles


@pytest.mark.parametrize("name", M7)
def test_cortex_m7(name: str, tmp_path: Path) -> None:
    text, cycles = M7[name]
    assert block_cost(assemble(text, "cortex-m7", tmp_path), 0x1000, "cortex-m7").always == 2 * cycles


@pytest.mark.parametrize("name", HAZARD3)
@pytest.mark.parametrize(("table", "entry"), [("hazard3", 2), ("esp32-c3", 4)])
def test_riscv(name: str, table: str, entry: int, tmp_path: Path) -> None:
    text, cycles = HAZARD3[name]
    cost = block_cost(assemble(text, table, tmp_path), 0x1000, table)
    assert (cost.always, cost.entry) == (2 * cycles, entry)


def test_jumps_to_a_wide_instruction_across_two_words_cost_one_more_on_hazard3(tmp_path: Path) -> None:
    code = assemble("add a0, a1, a2", "hazard3", tmp_path)
    assert block_cost(code, 0x1000, "hazard3") == BlockCost(2, 2, 1)
    assert block_cost(code, 0x1002, "hazard3") == BlockCost(2, 4, 1)
    assert block_cost(code, 0x1002, "esp32-c3") == BlockCost(2, 4, 1)


def test_taken_branches_cost_one_more_and_two_to_a_misaligned_wide_instruction(tmp_path: Path) -> None:
    code = assemble("add.w r0, r1, r2", "cortex-m4", tmp_path)
    assert block_cost(code, 0x1000, "cortex-m4") == BlockCost(2, 2, 1)
    assert block_cost(code, 0x1002, "cortex-m4") == BlockCost(3, 4, 1)


def test_a_taken_branch_of_the_m7_costs_half_a_cycle(tmp_path: Path) -> None:
    """It is predicted, and what it leads to can be issued with it."""
    assert block_cost(assemble("add.w r0, r1, r2", "cortex-m7", tmp_path), 0x1000, "cortex-m7") == BlockCost(2, 1, 1)


def test_bytes_that_are_no_instructions_are_refused() -> None:
    for table in ("cortex-m4", "hazard3"):
        with pytest.raises(ValueError, match="0x1000"):
            block_cost(b"\xff\xff\xff\xff", 0x1000, table)


def test_threads_decode_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder keeps state, outside of Python's lock; a block that it misread would be priced wrongly for good."""
    decoder, inside, most = thumb._decoder(), 0, 0

    class Watched:
        def disasm(self, code: bytes, address: int) -> list[Any]:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            sleep(0.002)
            found = list(decoder.disasm(code, address))
            inside -= 1
            return found

    monkeypatch.setattr(thumb, "_decoder", Watched)
    block = bytes.fromhex("08bf0130") * 20
    with ThreadPoolExecutor(4) as pool:
        costs = list(pool.map(lambda _: block_cost(block, 0x8000000, "cortex-m4"), range(12)))
    assert most == 1 and len(set(costs)) == 1
