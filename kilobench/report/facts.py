# SPDX-License-Identifier: Apache-2.0
"""What is known of a model that was measured on boards; one JSON file."""

from __future__ import annotations

from operator import add
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kilobench.boards import Board
from kilobench.compile.counts import macs, parameters
from kilobench.compile.graph import Graph
from kilobench.compile.memory import Plan, buffers
from kilobench.compile.operator import bind
from kilobench.contracts import UserError
from kilobench.lines import one_line
from kilobench.measuring.expected import cycles_expected
from kilobench.measuring.onboard import Measurement
from kilobench.measuring.recording import described
from kilobench.plugins.cores import timing_label
from kilobench.record import Accuracy, Auc, FlashSplit, milliseconds

FORM: Literal["kilobench report 1"] = "kilobench report 1"
_MOST_BYTES = 1 << 24
Text = Annotated[str, Field(max_length=1000)]
Count = Annotated[int, Field(ge=0, lt=1 << 50)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Layer(_Part):
    """One operator, whatever board it runs on."""

    name: Text
    kind: Text
    output: Text
    """Type and shape, as in ``int8 16x16x32`` (height x width x channels)."""
    macs: Count
    """Multiply-accumulates, taps on padding included."""
    weight_bytes: Count
    """Of its constants in flash: weights, biases, multipliers and shifts, tables."""


class Moment(_Part):
    """One step of the schedule, and what the arena holds meanwhile."""

    layers: tuple[Text, ...]
    """That run in it; several make strips by turns."""
    bytes: Count


class OnBoard(_Part):
    """What one board says. Sizes are in bytes."""

    board: Text
    core: Text
    clock_hz: Count
    """As the board read it back."""
    board_flash_bytes: Count
    board_ram_bytes: Count
    timing: Text
    """How cycles came about, as in ``emulated cortex-m4``."""
    conditions: dict[Text, Text]
    """What else cycles depend on, as the board read it back."""
    toolchain: Text
    flash_bytes: Count
    flash: FlashSplit
    ram_bytes: Count
    """Arena, statics and the stack's peak."""
    arena_bytes: Count
    static_bytes: Count
    stack_bytes: Count
    over_flash_bytes: Count
    over_ram_bytes: Count
    """By how much it misses the board's memory; its cycles are then those of the same core with more memory."""
    cycles: Count | None
    """Per inference, the mean over the inputs; None where the program is too large for the core to run."""
    cycles_low: Count | None
    cycles_high: Count | None
    cycles_flash: Count | None = None
    """Cycles with the flash as on the board, *estimated* by a model of it; None where there is none, or a real board measured."""
    weights_waits: Count | None = None
    """Of the cycles that the flash costs those that reads of weights wait, *estimated* as these are."""
    cycles_expected: tuple[Count, Count] | None = None
    """Between which a real board is expected to be; None where ``cycles_flash`` is, or of a core not held against silicon."""
    layer_cycles: tuple[Count, ...]
    """In the order of the layers; empty where it was not run."""
    layer_cycles_flash: tuple[Count, ...] = ()
    """Those with the flash as on the board, of the first input; empty without a model."""
    inputs: Count
    """On which the board's outputs equalled those of host C bit for bit."""
    energy_uj: float | None
    """Per inference, by a meter."""
    energy_estimated_uj: float | None = None
    """Per inference, *estimated*: current and voltage of the chip's data sheet times latency; None where it is not known."""
    energy_source: Text = ""
    """That current, and where it stands."""

    @property
    def cycles_on_board(self) -> int | None:
        """Per inference, with the flash as on the board where there is a model of it."""
        return None if self.cycles is None else self.cycles_flash or self.cycles

    @property
    def latency_ms(self) -> float | None:
        """Of one inference at the board's clock, with the flash as on the board where there is a model of it."""
        return None if self.cycles_on_board is None else 1000 * self.cycles_on_board / self.clock_hz

    @property
    def other_waits(self) -> int | None:
        """Of the cycles that the flash costs those that instructions and constants of kernels wait."""
        if self.cycles is None or self.cycles_flash is None or self.weights_waits is None:
            return None
        return max(0, self.cycles_flash - self.cycles - self.weights_waits)

    @property
    def expected_ms(self) -> tuple[float, float] | None:
        """Between which the latency of a real board is expected to be."""
        return milliseconds(self.cycles_expected, self.clock_hz)

    @property
    def fits(self) -> bool:
        """Whether the board's memory holds it."""
        return not (self.over_flash_bytes or self.over_ram_bytes)


class Judged(_Part):
    """How well it does on labelled inputs, in C compiled for the host."""

    inputs: Text
    """What they are."""
    digest: Text
    """Of names, labels and contents."""
    count: Count
    """Of files."""
    accuracy: Accuracy | None
    """None for an anomaly detector."""
    auc: Auc | None
    """Area under the ROC curve, of anomaly detectors and of two classes."""
    target: Share | None
    """That MLPerf Tiny's closed division asks for where they are its own: of accuracy, or else of auc."""

    @property
    def quality(self) -> float:
        """Accuracy, or of an anomaly detector the area under the ROC curve; a share of 1."""
        found = self.accuracy or self.auc
        assert found is not None, "checked as it was read"
        return found.mean

    @model_validator(mode="after")
    def _has_one(self) -> Judged:
        if self.accuracy is None and self.auc is None:
            raise ValueError("it has neither accuracy nor auc")
        return self


class Facts(_Part):
    """A model, and what it takes on boards."""

    form: Literal["kilobench report 1"] = FORM
    model: Text
    """The name of its file."""
    reference: Text = ""
    """What MLPerf Tiny has to do with its file."""
    digest: Text
    """Of the graph."""
    rounding: Literal["once", "tflite", ""]
    """As the file was imported; empty for a graph."""
    input: Text
    outputs: tuple[Text, ...]
    macs: dict[Text, Count]
    """By type: fp32, int8, binary."""
    parameters: Count
    left_out_parameters: Count = 0
    """Of the file; they make channels that never change, and the graph has none of them."""
    left_out_macs: Count = 0
    arena_bytes: Count
    arena_lower_bound: Count
    """The least that any placing of the feature maps could need."""
    peak: Text
    """The layer that needs the most RAM."""
    layers: tuple[Layer, ...]
    moments: tuple[Moment, ...]
    judged: Judged | None = None
    boards: tuple[OnBoard, ...]


def facts_of(model: str, rounding: Literal["once", "tflite", ""], graph: Graph, plan: Plan) -> Facts:
    """What is known of a graph and its memory plan before any board has run it."""
    return Facts(
        model=one_line(model),
        digest=graph.digest(),
        rounding=rounding,
        input=described(graph.tensors[graph.input]),
        outputs=tuple(described(graph.tensors[name]) for name in graph.outputs),
        macs={kind: count for kind, count in macs(graph).items() if count},
        parameters=parameters(graph),
        left_out_parameters=graph.left_out.parameters,
        left_out_macs=graph.left_out.macs,
        arena_bytes=plan.arena_bytes,
        arena_lower_bound=plan.lower_bound_bytes,
        peak=one_line(plan.peak),
        layers=_layers(graph),
        moments=_moments(graph, plan),
        boards=(),
    )


def _layers(graph: Graph) -> tuple[Layer, ...]:
    return tuple(
        Layer(
            name=one_line(op.name),
            kind=op.kind,
            output=described(graph.tensors[op.output]),
            macs=bind(graph, op).macs(),
            weight_bytes=sum(
                value.nbytes for value in bind(graph, op).fields().values() if isinstance(value, np.ndarray)
            ),
        )
        for op in graph.ops
    )


def _moments(graph: Graph, plan: Plan) -> tuple[Moment, ...]:
    needed = buffers(graph, list(plan.steps)).values()
    return tuple(
        Moment(
            layers=tuple(one_line(graph.ops[place].name) for place in step.ops),
            bytes=sum(buffer.bytes for buffer in needed if buffer.first <= index <= buffer.last),
        )
        for index, step in enumerate(plan.steps)
    )


def on_board(board: Board, link: str, measured: Measurement) -> OnBoard:
    """What was measured on a board over a link."""
    sizes, cycles = measured.sizes, measured.cycles
    mean = round(sum(cycles) / len(cycles)) if cycles else None
    found = OnBoard(
        board=board.name,
        core=board.core.name,
        clock_hz=measured.clock_hz,
        board_flash_bytes=board.flash.bytes,
        board_ram_bytes=board.ram_bytes,
        timing=timing_label(board.core, "" if link == "emulator" else measured.conditions["counter"]),
        conditions=measured.conditions,
        toolchain=measured.toolchain,
        flash_bytes=sizes.flash_bytes,
        flash=FlashSplit(weights=sizes.weights, runtime=sizes.runtime, board_support=sizes.board_support),
        ram_bytes=measured.ram_bytes,
        arena_bytes=sizes.arena,
        static_bytes=sizes.static,
        stack_bytes=measured.stack_bytes,
        over_flash_bytes=measured.over_flash_bytes,
        over_ram_bytes=measured.over_ram_bytes,
        cycles=mean,
        cycles_low=min(cycles, default=None),
        cycles_high=max(cycles, default=None),
        cycles_flash=None if mean is None or measured.flash_waits is None else mean + measured.flash_waits,
        weights_waits=measured.weights_waits,
        cycles_expected=cycles_expected(board, mean, measured.flash_waits),
        layer_cycles=tuple(measured.layer_cycles),
        layer_cycles_flash=tuple(map(add, measured.layer_cycles, measured.layer_flash_waits)),
        inputs=len(cycles),
        energy_uj=measured.energy_uj,
    )
    energy = board.estimated_uj(found.latency_ms, found.clock_hz)
    if energy is None or board.run_current is None:
        return found
    return found.model_copy(update={"energy_estimated_uj": energy, "energy_source": one_line(board.run_current.told)})


def content(facts: Facts) -> bytes:
    """Of the JSON file of a report."""
    return (facts.model_dump_json(indent=1) + "\n").encode()


def read_facts(path: Path) -> Facts:
    """What ``content`` wrote. Raises UserError naming the key that is wrong."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"{path} is no report: it has more than {_MOST_BYTES} bytes")
        return Facts.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path} is no report: {where}: {first['msg']}") from None
