"""Launch: putting a kernel onto the current stream; the one place where Triton's way of calling is hidden from the type checker."""

from __future__ import annotations

from typing import Any


def parts_of(whole: int, part: int) -> int:
    """How many parts cover the whole."""
    return -(-whole // part)


def power_of_two(count: int) -> int:
    """The least one that is not less than `count`."""
    return 1 << (count - 1).bit_length()


def launch(kernel: Any, grid: tuple[int, ...], *given: object, warps: int, **fixed: object) -> None:
    """`fixed`: what the kernel is compiled for. Loads are not staged ahead: each is used at once, and other warps fill the wait."""
    kernel[grid](*given, **fixed, num_warps=warps, num_stages=1)
