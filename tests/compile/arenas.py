# SPDX-License-Identifier: Apache-2.0
"""The arenas of all networks that there are, beside the least that any placing could need.

    python -m tests.compile.arenas

KILOBENCH_DATA adds the reference models of MLPerf Tiny.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kilobench.compile.graph import Graph
from kilobench.compile.graphfile import load_graph
from kilobench.compile.imports import load_model
from kilobench.compile.lower import lower_for
from kilobench.compile.memory import plan
from kilobench.contracts import UserError
from kilobench.learn.untrained import finished
from kilobench.plugins.registry import load_registry
from kilobench.plugins.spec import parse_recipe
from kilobench.results.packed import unpacked
from tests.compile import mlperf
from tests.compile.graphs import random_graph

RECIPES = ("full", "int8", "xnor", "xnor[layout=study]", "ternary", "prune[keep=0.5]+int8")
RANDOM = 5000
Named = Iterator[tuple[str, Graph]]


def published() -> Named:
    """Those of the leaderboard."""
    for path in sorted((Path(__file__).parents[2] / "leaderboard" / "models").iterdir()):
        with unpacked(path) as file:
            yield path.name[:12], load_graph(file)[0]


def references() -> Named:
    """Those of MLPerf Tiny, where its data is."""
    for model in (*mlperf.INT8, *mlperf.FLOAT) if mlperf.there() else ():
        yield model, load_model(mlperf.path_of(model))


def untrained(recipes: Sequence[str], tasks: Sequence[str]) -> Named:
    """Every network for every shape of input that these tasks have, after each of the recipes that suits it."""
    registry, seen = load_registry(), set()
    for task in (registry.get("tasks", name) for name in tasks):
        for network in sorted(registry.entries["networks"]):
            if (network, task.input_shape) in seen:
                continue
            seen.add((network, task.input_shape))
            for recipe in recipes:
                methods = [registry.get("methods", str(spec)) for spec in parse_recipe(recipe)]
                try:
                    model = registry.get("networks", network).build(task.input_shape, task.outputs, task.sample_rate)
                    model = finished(model, methods, task)
                except UserError:  # a network for other inputs, or a recipe for other networks
                    continue
                yield f"{network} for {task.name} after {recipe}", lower_for(task, model)


def random(count: int) -> Named:
    """Those of the fuzzer."""
    for seed in range(count):
        yield f"seed {seed}", random_graph(seed)


def ratios(graphs: Named) -> dict[str, float]:
    """Their arenas as shares of the bound."""
    plans = {name: plan(graph) for name, graph in graphs}
    return {name: plan.arena_bytes / plan.lower_bound_bytes for name, plan in plans.items()}


def main() -> None:
    """Count those above the bound."""
    families = {
        "published models": published(),
        "reference models of MLPerf Tiny": references(),
        "networks after recipes": untrained(RECIPES, sorted(load_registry().entries["tasks"])),
        "random graphs": random(RANDOM),
    }
    for what, graphs in families.items():
        found = ratios(graphs).values()
        over, far = (sum(ratio > share for ratio in found) for share in (1, 1.05))
        most = max(found, default=1)
        print(
            f"{len(found)} {what}: {over} above the bound, {far} by more than 5 %; at most {most:.3f} of it", flush=True
        )


if __name__ == "__main__":
    main()
