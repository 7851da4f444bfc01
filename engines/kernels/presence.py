"""Presence: whether kernels can run on a device. Imports no Triton, so that machines without it can ask."""

from __future__ import annotations

import os
from importlib.util import find_spec

import torch

LEAST_CAPABILITY = (8, 0)
"Of NVIDIA GPUs: Ampere, the first whose tensor cores take bfloat16 and tf32."


def available(device: torch.device) -> bool:
    """On a GPU that is new enough; on a CPU only where Triton's interpreter is asked for (TRITON_INTERPRET=1, for tests)."""
    if find_spec("triton") is None:
        return False
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if device.type == "cuda" and torch.version.hip is None:
        return not interpreted and torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY
    return device.type == "cpu" and interpreted
