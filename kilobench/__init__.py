"""Benchmarks neural networks on microcontrollers: accuracy, flash, RAM and cycles from one binary."""
