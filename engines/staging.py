"""Staging: small arrays from the host onto a device, which nobody waits for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def onto(array: np.ndarray, device: torch.device) -> Tensor:
    """`array`, of any shape and dtype, on `device`. For a GPU it goes through pinned memory: from any other the host waits
    until all is copied.

    Pinned memory comes from torch's cache of it, which keeps it until the copy is through.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
