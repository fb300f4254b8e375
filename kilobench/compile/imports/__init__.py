# SPDX-License-Identifier: Apache-2.0
"""Models that other tools wrote: a file to a program (tflite, onnx, exported), and a program to a graph (lowering)."""
