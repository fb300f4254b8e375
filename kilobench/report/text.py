# SPDX-License-Identifier: Apache-2.0
"""A report for the terminal, in 80 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kilobench.record import NOT_RUN, span
from kilobench.report.facts import Facts, Judged, Moment, OnBoard

_PLOT_WIDTH, _PLOT_HEIGHT = 64, 6
_NAME_WIDTH = 14
_WORTH = 0.02
"""Of the time: less is not worth moving anything."""
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def terminal(facts: Facts) -> Group:
    """One board with its layers, or a table of several; and the arena over time."""
    parts: list[RenderableType] = [Text(f"{facts.model}: {about(facts)}")]
    parts += [Text(facts.reference)] if facts.reference else []
    parts += [Text(f"\n{told_quality(facts.judged)}")] if facts.judged is not None else []
    if len(facts.boards) == 1:
        board = facts.boards[0]
        parts += [Text(), Text(headline(facts, board)), Text(fit(board))]
        parts += [Text(estimated_energy(board))] if board.energy_source else []
        parts += [Text(better)] if (better := in_ram(board)) else []
        parts.append(Text())
        parts.append(_layers(facts, board))
    else:
        parts += [Text(), _boards(facts.boards), _note(facts.boards)]
    return Group(*parts, Text(), _plot(facts))


def about(facts: Facts) -> str:
    """What goes in and out, and how much there is of it."""
    total = (
        f"{count(sum(facts.macs.values()))} multiply-accumulates ({', '.join(facts.macs)})"
        if facts.macs
        else "no multiply-accumulates"
    )
    rounding = {"tflite": ", rounded as TFLite Micro does", "once": "", "": ""}[facts.rounding]
    outputs = ", ".join(facts.outputs)
    left_out = (
        f"; {count(facts.left_out_macs)} and {facts.left_out_parameters} more make channels that never change: left out"
        if facts.left_out_parameters
        else ""
    )
    parameters = f"{facts.parameters} parameters{rounding}{left_out}"
    return f"{facts.input} to {outputs}, {len(facts.layers)} layers, {total}, {parameters}"


def told_quality(judged: Judged) -> str:
    """Accuracy, area under the ROC curve, on what, and whether that is enough."""
    told = []
    if (found := judged.accuracy) is not None:
        interval = f"{100 * found.low:.1f} to {100 * found.high:.1f} with 95 % confidence"
        told.append(f"accuracy {100 * found.mean:.2f} % ({found.correct} of {found.total}; {interval})")
    if judged.auc is not None:
        told.append(f"area under the ROC curve {judged.auc.mean:.4f} ({judged.auc.low:.4f} to {judged.auc.high:.4f})")
    met = ""
    if judged.target is not None:
        target = f"{judged.target:.2f}" if found is None else f"{100 * judged.target:g} %"
        met = f"; quality target {target}: {'reached' if judged.quality >= judged.target else 'missed'}"
    return f"{', '.join(told)}, by C on the host, of {judged.inputs}{met}"


def headline(facts: Facts, board: OnBoard) -> str:
    """Flash, RAM, cycles and time on a board."""
    flash = f"weights {kib(board.flash.weights)}, kernels and runtime {kib(board.flash_bytes - board.flash.weights)}"
    ram = f"arena {kib(board.arena_bytes)}, stack {kib(board.stack_bytes)}, static {kib(board.static_bytes)}"
    return (
        f"{board.board}: flash {kib(board.flash_bytes)} KiB ({flash}), "
        f"RAM {kib(board.ram_bytes)} KiB ({ram}; peak in {short_names(facts).get(facts.peak, facts.peak)}), {speed(board)}"
    )


def speed(board: OnBoard) -> str:
    """Cycles, time and energy."""
    if board.cycles is None or board.latency_ms is None:
        return NOT_RUN
    energy = "" if board.energy_uj is None else f", {board.energy_uj:.1f} µJ (measured)"
    time = f"{board.latency_ms:.1f} ms{span(board.expected_ms)} at {board.clock_hz / 1e6:g} MHz"
    if board.cycles_flash is None:
        return f"{board.cycles / 1e6:.2f} Mcycles, {time} ({how(board)}){energy}"
    flash = f"{board.cycles_flash / 1e6:.2f} Mcycles with its flash (estimated)"
    return f"{board.cycles / 1e6:.2f} Mcycles ({how(board)}); {flash}, {time}{energy}"


def estimated_energy(board: OnBoard) -> str:
    """What the chip takes for an inference by its data sheet, and by which of its figures."""
    return f"energy {microjoules(board)} µJ, estimated from the data sheet: {board.energy_source}"


def microjoules(board: OnBoard) -> str:
    """Those that are estimated, in three digits, or all before the point."""
    return "-" if board.energy_estimated_uj is None else at_least(board) + significant(board.energy_estimated_uj)


def at_least(board: OnBoard) -> str:
    """Before a time of an emulated board of which it is not known what the core waits for its flash."""
    return "≥" if board.conditions.get("counter") == "emulated" and not board.cycles_flash else ""


def how(board: OnBoard) -> str:
    """How cycles came about."""
    return board.timing.split()[0] + (", zero wait states" if board.conditions.get("counter") == "emulated" else "")


def fit(board: OnBoard) -> str:
    """What is left of the board's memory, or what it lacks."""
    has = f"{board.board} ({kib(board.board_flash_bytes)} KiB of flash, {kib(board.board_ram_bytes)} of RAM)"
    if board.fits:
        left = board.board_flash_bytes - board.flash_bytes, board.board_ram_bytes - board.ram_bytes
        return f"fits {has}: {kib(left[0])} and {kib(left[1])} KiB are left"
    return f"does not fit {has}: over by {' and '.join(lacking(board))}"


def in_ram(board: OnBoard) -> str:
    """What would be saved if weights or code lay in RAM, as far as that has room for either; empty where it is little."""
    free = board.board_ram_bytes - board.ram_bytes
    parts = (
        ("weights", "at least", board.flash.weights, board.weights_waits),
        ("kernels and runtime", "up to", board.flash_bytes - board.flash.weights, board.other_waits),
    )
    told = [
        f"{name} ({kib(size)} KiB) {how_much} {1e3 * waits / board.clock_hz:.1f} ms less"
        for name, how_much, size, waits in parts
        if waits and board.fits and size <= free and waits >= _WORTH * (board.cycles_on_board or 0)
    ]
    return f"in RAM instead of flash (estimated): {', '.join(told)}" if told else ""


def lacking(board: OnBoard) -> list[str]:
    """By how much a model exceeds a board's memory."""
    over = ("flash", board.over_flash_bytes), ("RAM", board.over_ram_bytes)
    return [f"{kib(size)} KiB of {name}" for name, size in over if size]


def kib(size: int) -> str:
    """Bytes in KiB."""
    return f"{size / 1024:.1f}"


def significant(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.{max(0, 3 - len(str(int(value))))}f}"


def count(number: int) -> str:
    """A number in at most six characters."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= (10_000 if unit == "k" else size):
            return f"{number / size:.{3 - len(str(number // size))}f} {unit}"
    return str(number)


def _layers(facts: Facts, board: OnBoard) -> Table:
    names = short_names(facts)
    types = {layer.output.split()[0] for layer in facts.layers}
    table = _table("layer", "operator", "output")
    flash = ["flash"] if board.layer_cycles_flash else []
    for name in ("MACs", "cycles", "c/MAC", "wt KiB", *flash, "time"):
        table.add_column(name, justify="right", no_wrap=True)
    none, longer = [None] * len(facts.layers), board.layer_cycles_flash or board.layer_cycles
    total = sum(longer)
    for layer, cycles, taken in zip(facts.layers, board.layer_cycles or none, longer or none, strict=True):
        table.add_row(
            Text(names[layer.name]),
            layer.kind,
            layer.output.split()[1] if len(types) == 1 else layer.output,
            count(layer.macs) if layer.macs else "",
            "" if cycles is None else count(cycles),
            "" if cycles is None or not layer.macs else significant(cycles / layer.macs),
            kib(layer.weight_bytes) if layer.weight_bytes else "",
            *([waits(cycles, taken)] if flash else []),
            "" if taken is None or not total else f"{100 * taken / total:.1f}%",
        )
    return table


def waits(cycles: int | None, taken: int | None) -> str:
    """How much longer a layer takes with the flash as on the board."""
    return "" if not cycles or taken is None else f"+{100 * (taken / cycles - 1):.0f}%"


def _boards(boards: Sequence[OnBoard]) -> Table:
    table = _table("board", "core")
    energy = ["µJ"] if any(board.energy_source for board in boards) else []
    for name in ("MHz", "flash", "RAM", "Mcycles", "ms", *energy):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fits")
    for board in boards:
        over = ("flash", board.over_flash_bytes), ("RAM", board.over_ram_bytes)
        missing = " ".join(f"{name} +{kib(size)}" for name, size in over if size)
        table.add_row(
            board.board,
            board.core.removeprefix("cortex-"),
            f"{board.clock_hz / 1e6:g}",
            kib(board.flash_bytes),
            kib(board.ram_bytes),
            "-" if board.cycles is None else f"{board.cycles / 1e6:.2f}",
            "-" if board.latency_ms is None else f"{at_least(board)}{board.latency_ms:.1f}{span(board.expected_ms)}",
            *([microjoules(board)] if energy else []),
            Text("yes", style="green") if board.fits else Text(f"no: {missing}", style="red"),
        )
    return table


def _note(boards: Sequence[OnBoard]) -> Text:
    labels = " or ".join(sorted({board.timing.split()[0] for board in boards}))
    not_run = f"; -: {NOT_RUN}" if any(board.cycles is None for board in boards) else ""
    flash = "; ms with the board's flash, estimated" if any(board.cycles_flash for board in boards) else ""
    flash += "; ≥: what it waits for its flash is not known" if any(map(at_least, boards)) else ""
    if any(board.cycles_expected for board in boards):
        flash += "; (between which a real board is expected)"
    energy = "; µJ estimated from data sheets" if any(board.energy_source for board in boards) else ""
    told = f"flash, RAM, and what lacks of them, in KiB; cycles are {labels}{flash}{energy}{not_run}"
    return Text(told, style="dim")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name)
    return table


def short_names(facts: Facts) -> dict[str, str]:
    """Names of layers as they are shown: without the beginnings that most share, and without the ends of long ones."""
    shown = {layer.name: layer.name for layer in facts.layers}
    while True:
        heads = Counter(name.partition(".")[0] for name in shown.values() if "." in name)
        head, shared = heads.most_common(1)[0] if heads else ("", 0)
        if 2 * shared <= len(shown):
            return {name: _cut(short) for name, short in shown.items()}
        shown = {name: short.removeprefix(f"{head}.") for name, short in shown.items()}


def _cut(name: str) -> str:
    """Of a long name the beginning; of one whose first part alone is too long, that part's ends."""
    first = name.partition(".")[0]
    if len(first) > _NAME_WIDTH:
        return f"{first[: _NAME_WIDTH // 2 - 1]}…{first[-_NAME_WIDTH // 2 :]}"
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 1]}…" if len(first) < _NAME_WIDTH else first


def _plot(facts: Facts) -> Text:
    """What is live in the arena at every step, as columns."""
    moments, most = facts.moments, max(moment.bytes for moment in facts.moments)
    merged = -(-len(moments) // _PLOT_WIDTH)
    groups = [moments[start : start + merged] for start in range(0, len(moments), merged)]
    heights = [max(moment.bytes for moment in group) for group in groups]
    width = max(1, min(4, _PLOT_WIDTH // len(groups)))
    text = Text(f"arena over time: {kib(facts.arena_bytes)} KiB, {kib(most)} of them live at the peak\n")
    for row in reversed(range(_PLOT_HEIGHT)):
        text.append(f"{kib(most) if row == _PLOT_HEIGHT - 1 else '':>8} ")
        for height in heights:
            eighths = round(8 * _PLOT_HEIGHT * height / most) - 8 * row
            text.append(_EIGHTHS[max(0, min(8, eighths))] * width, "bold red" if height == most else "")
        text.append("\n")
    peak = heights.index(most)
    text.append(f"{'KiB':>8} {' ' * (width * peak)}{'▲' * width} {_told(facts, groups[peak], most)}")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _told(facts: Facts, group: Sequence[Moment], most: int) -> str:
    moment = next(one for one in group if one.bytes == most)
    before = len(moment.layers) - 1
    return short_names(facts).get(moment.layers[-1], "") + (f", in strips with {before} before" if before else "")
