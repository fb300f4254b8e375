# SPDX-License-Identifier: Apache-2.0
"""A trained model to a graph, and the graph to C; what every operator means."""
