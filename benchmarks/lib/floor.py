"""Floor: the least time in which VOODOO 3D's arithmetic can be done at all, and what share of it was reached."""

from __future__ import annotations

DRIVE_MACS = 0.592e12
"Multiply-accumulates of one driven frame at full size: lift, the driver's march, the driver's part of the transfer."
VIEW_MACS = 0.207e12
"Of one view: march and super-resolution. 24 views of one frame: 5.56e12 with driving."
FLOPS = 788e12
"Operations a second at which an H200 was seen to multiply random bfloat16 matrices of 8192^2; a MAC is two."


def floor_ms(views: int, frames: float = 1.0) -> float:
    """Milliseconds below which no H200 makes `frames` of `views` views."""
    return 1e3 * frames * 2 * (DRIVE_MACS + views * VIEW_MACS) / FLOPS
