# SPDX-License-Identifier: Apache-2.0
"""Benchmarks neural networks on microcontrollers: accuracy, flash, RAM and cycles from one binary."""

import os

# Read when torch loads OpenMP: threads that wait for each other sleep instead of spinning. On cores that other programs use
# too, spinning makes a training step several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
