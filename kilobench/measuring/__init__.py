# SPDX-License-Identifier: Apache-2.0
"""A graph on a board: accuracy on the host, cost on the board, and the record of both."""
