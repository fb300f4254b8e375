# SPDX-License-Identifier: Apache-2.0
"""What a core waits for its flash: a board's ``flash_timing`` as block_hook.c counts it (docs/timing.md)."""

from __future__ import annotations

from kilobench.boards import Board, Cache, FlashTiming


def waits(board: Board) -> tuple[int, ...]:
    """Of block_hook.c's ``flash``, the fields in their order; empty where nothing is known of the board's flash."""
    timing = board.flash_timing
    if timing is None:
        return ()
    buffer = Cache(1, 1, timing.read_bytes)
    code = timing.unified_cache or timing.instruction_cache or buffer
    data = timing.unified_cache or timing.data_cache or (buffer if timing.data_buffer else None)
    of_data = timing.wait_states if timing.data_wait_states is None else timing.data_wait_states
    return (
        *(board.flash.origin, board.flash.bytes),
        *(_fill(timing.wait_states, timing, code), _fill(of_data, timing, data)),
        *(int(timing.prefetch), int(timing.unified_cache is not None)),
        *(*_shape(code), *_shape(data)),
    )


def _fill(wait_states: int, timing: FlashTiming, cache: Cache | None) -> int:
    """Half cycles until a line is there: it takes a read, and one after the other where one brings less than a line."""
    reads = max(1, cache.line // timing.read_bytes) if cache else 1
    return 2 * (wait_states + (reads - 1) * (wait_states + 1))


def _shape(cache: Cache | None) -> tuple[int, int, int]:
    return (cache.line.bit_length() - 1, cache.sets, cache.ways) if cache else (0, 0, 0)
