"""GPUs: which there are and what memory they have free. Looks without taking any, where NVIDIA's library is installed."""

from __future__ import annotations

from importlib import import_module

from pipeline.devices.planner import Device


def present() -> list[Device]:
    """Every GPU that PyTorch would use, in its order."""
    import torch

    if not torch.cuda.is_available():
        return []
    return [_device(number) for number in range(torch.cuda.device_count())]


def _device(number: int) -> Device:
    import torch

    facts = torch.cuda.get_device_properties(number)
    free, total = _memory(f"GPU-{facts.uuid}") or torch.cuda.mem_get_info(number)
    return Device(f"cuda:{number}", total, free, facts.name)


def _memory(uuid: str) -> tuple[int, int] | None:
    """(free, total) bytes by NVML, which sees GPUs in another order than CUDA does; None where it is not installed."""
    try:
        pynvml = import_module("pynvml")
    except ModuleNotFoundError:  # torch answers too, but takes 0.5 GB of each GPU for it
        return None
    try:
        pynvml.nvmlInit()
        found = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid))
        return int(found.free), int(found.total)
    except pynvml.NVMLError:  # a GPU shared out in parts has another kind of identity
        return None
