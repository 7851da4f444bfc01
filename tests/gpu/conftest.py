"""What tests on a CUDA device share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def unwaiting() -> Iterator[None]:
    """Any wait for the device is an error while this is on."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")
