# SPDX-License-Identifier: Apache-2.0
"""kilobench's trainer on the batches and networks of study.py."""

import sys
import time
from dataclasses import replace

from benchmarks.speed.study import BATCH, CLASSES, LENGTH, RATE, STEM, clips
from kilobench.contracts import Method, Network, Precision, Split, Task, Training
from kilobench.learn.train import TrainingJob, seed_everything
from kilobench.plugins.registry import load_registry


class Noise(Task):
    """Random sounds, varied and mixed as the study does."""

    name = "noise"
    kind = "audio"
    network = "acdnet"
    sample_rate = RATE
    training = Training(batch=BATCH, optimiser="sgd", schedule="step", mix=1.0, stretch=1.25, label_smoothing=0.0)
    class_count = CLASSES
    input_shape = (1, 1, LENGTH)


def main(channels: str, binary: bool, steps: int, precision: Precision = "float32") -> float:
    """Seconds per batch, generator and step, after some to warm up."""
    registry = load_registry()
    seed_everything(0)
    x, y = clips(BATCH)
    times: dict[float, float] = {}

    def note(text: str, done: float, total: float) -> None:
        times[done] = time.perf_counter()

    split = Split(x[:, None, None], y, x[:0], y[:0], (), "")
    training = replace(Noise.training, precision=precision)
    job = TrainingJob(split, Noise(), seed=0, progress=note, training=training, steps=steps + 5)
    network: Network = registry.get("networks", f"acdnet[channels={channels}]")
    model = network.build(Noise().input_shape, CLASSES, RATE)
    if binary:
        method: Method = registry.get("methods", f"xnor[keep={STEM}]")
        method.apply(model, job)
    else:
        job.train(model, lr=0.01)
    return (times[steps + 5] - times[5]) / steps


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2] == "xnor", int(sys.argv[3]), *sys.argv[4:]))  # type: ignore[arg-type]
