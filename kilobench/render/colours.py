# SPDX-License-Identifier: Apache-2.0
"""What plots are drawn in."""

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C510A"]
"""Okabe and Ito's palette, told apart by the colour-blind, and brown."""
