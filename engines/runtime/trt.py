"""TensorRT: networks built ahead for one GPU, kept on disk (cache.py), and run from fixed buffers like a recording (graphs.py).

An exported program goes through Torch-TensorRT into one TensorRT engine, whole; its precision is the program's own. What cannot
be built is run by `graphs`, aloud. Building takes minutes, so it is done ahead: `python -m server engines build`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from engines.options import EngineOptions
from engines.runtime import Component, Run, say_once
from engines.runtime.cache import Cache, Entry, Key, NotKept
from engines.runtime.graphs import Graphs, Recording, Replayed, Turn, whole

if TYPE_CHECKING:
    import tensorrt  # pyright: ignore[reportMissingImports]

BUILD = "python -m server engines build"


class BuildFailed(RuntimeError):
    """TensorRT could not build or load an engine; its own log says why."""


class Trt:
    """The runtime that has networks built by TensorRT, and lets graphs run what is none or cannot be built."""

    name: ClassVar[str] = "trt"

    def __init__(self, device: torch.device, ahead_only: bool, cache: Cache) -> None:
        """`ahead_only`: never build while somebody waits; what is not kept runs by `graphs`."""
        self._device, self._ahead_only, self._cache = device, ahead_only, cache
        self._instead = Graphs(device)

    def prepare(self, component: Component) -> Run:
        """`component` from its kept engine, which is built first where that is allowed; by graphs otherwise."""
        if not ahead(component):
            return self._instead.prepare(component)
        try:
            return Replayed(loaded(self._engine(component), component.example()), Turn(self._device), self.name)
        except NotKept as absence:
            say_once(f"{absence}, so graphs run {component.name} on {self._device} instead; build it: {BUILD}")
        except Exception as failure:
            say_once(f"TensorRT cannot run {component.name} on {self._device}, so graphs do instead", failure)
        return self._instead.prepare(component)

    def _engine(self, component: Component) -> bytes:
        program = exported(component)
        key = key_of(component, program, self._device)
        try:
            return self._cache.read(key)
        except NotKept as absence:
            if self._ahead_only:
                raise
            say_once(f"{absence}, so it is built for {self._device} now, which takes minutes; build ahead: {BUILD}")
        engine = built(component, program, self._device)
        self._cache.write(key, engine)
        return engine


def on(device: str | torch.device, ahead_only: bool = False, built: Path | None = None) -> Trt:
    """The runtime for `device`, a torch name, with engines kept in the folder `built`; `ahead_only`: see Trt."""
    return Trt(whole(device), ahead_only, Cache(built or EngineOptions().built))


def ahead(component: Component) -> bool:
    """Whether an engine is built for it: a network, and one that every frame wants."""
    return component.network and component.often


@dataclass(frozen=True)
class Built:
    """What `build` did for one component."""

    entry: Entry
    anew: bool
    "Whether it was built now; False if a whole one for this very machine was kept."


def exported(component: Component) -> ExportedProgram:
    """`component` as torch.export's program, at the shapes of its example. Raises what torch.export raises."""
    return torch.export.export(component.module, component.example(), strict=True)


def build(component: Component, device: torch.device, cache: Cache) -> Built:
    """Have an engine for `component` on `device` kept. Raises BuildFailed, or what Torch-TensorRT raises."""
    program = exported(component)
    key = key_of(component, program, device)
    try:
        engine = cache.read(key)
        loaded(engine, component.example())
        return Built(next(entry for entry in cache.entries() if entry.key == key), anew=False)
    except (NotKept, BuildFailed):  # absent, stale, damaged, or not to TensorRT's liking: all mended by building it
        cache.drop(key)
    engine = built(component, program, device)
    loaded(engine, component.example())
    return Built(cache.write(key, engine), anew=True)


def built(component: Component, program: ExportedProgram, device: torch.device) -> bytes:
    """The component as one TensorRT engine. Takes minutes. Raises BuildFailed, or what Torch-TensorRT raises."""
    import torch_tensorrt  # pyright: ignore[reportMissingImports]

    with torch.cuda.device(device):
        engine = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
            program,
            arg_inputs=list(component.example()),  # pyright: ignore[reportArgumentType]: takes tensors, says otherwise
            device=torch_tensorrt.Device(gpu_id=device.index),
            disable_tf32=True,
            attn_bias_is_causal=False,  # of language models, says the default; these look at a whole picture
        )
    if not engine:
        raise BuildFailed(f"TensorRT built nothing for {component.name}")
    return bytes(engine)


def loaded(engine: bytes, example: tuple[Tensor, ...]) -> Recording:
    """A serialised engine with buffers for inputs of the shapes of `example`. Raises BuildFailed if it is for another TensorRT or GPU."""
    import tensorrt  # pyright: ignore[reportMissingImports]

    device = example[0].device
    with torch.cuda.device(device):
        runtime = tensorrt.Runtime(_log())
        network = runtime.deserialize_cuda_engine(engine)
        if network is None:
            raise BuildFailed("TensorRT refuses this engine")
        context = network.create_execution_context()
        if context is None:
            raise BuildFailed("TensorRT found no memory to run this engine in")
        names = [network.get_tensor_name(k) for k in range(network.num_io_tensors)]
        reads = [name for name in names if network.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT]
        writes = [name for name in names if name not in reads]
        names = reads + writes
        inputs = tuple(tensor.float().contiguous().clone() for tensor in example)
        # a Dims counts and indexes, and so can be gone through, although its signature does not say so
        shapes = [list(map(int, network.get_tensor_shape(name))) for name in names]  # pyright: ignore[reportArgumentType]
        if shapes[:-1] != [list(tensor.shape) for tensor in inputs] or len(writes) != 1:
            raise BuildFailed(f"an engine of other shapes: {dict(zip(names, shapes, strict=True))}")
        output = torch.empty(shapes[-1], device=device)
        for name, tensor in zip(names, (*inputs, output), strict=True):
            if network.get_tensor_dtype(name) != tensorrt.DataType.FLOAT:
                raise BuildFailed(f"{name} of this engine is no float32")
            if not context.set_tensor_address(name, tensor.data_ptr()):
                raise BuildFailed(f"{name} of this engine takes no buffer")
    return Recording(inputs, output, _Replay(runtime, network, context))


@cache
def _log() -> tensorrt.Logger:
    """TensorRT's own, to stderr; it wants one for all."""
    import tensorrt  # pyright: ignore[reportMissingImports]

    return tensorrt.Logger(tensorrt.Logger.WARNING)


class _Replay:
    """Holds what an execution needs alive."""

    def __init__(
        self, runtime: tensorrt.Runtime, network: tensorrt.ICudaEngine, context: tensorrt.IExecutionContext
    ) -> None:
        self._runtime, self._network, self._context = runtime, network, context

    def __call__(self) -> None:
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT could not enqueue an engine; its log says why")


def keys(components: Iterable[Component], device: torch.device) -> list[Key]:
    """Of all engines that `components` want on `device`."""
    return [key_of(component, exported(component), device) for component in components if ahead(component)]


def key_of(component: Component, program: ExportedProgram, device: torch.device) -> Key:
    """All that an engine for `component` on `device` depends on."""
    import tensorrt  # pyright: ignore[reportMissingImports]
    import torch_tensorrt  # pyright: ignore[reportMissingImports]

    major, minor = torch.cuda.get_device_capability(device)
    return Key(
        component=component.name,
        gpu=torch.cuda.get_device_name(device),
        capability=f"{major}.{minor}",
        driver=_driver(),
        tensorrt=tensorrt.__version__,
        torch_tensorrt=torch_tensorrt.__version__,
        torch=torch.__version__,
        **contents(component, program),
    )


def contents(component: Component, program: ExportedProgram) -> dict[str, str]:
    """The parts of a key that are the network's, not the machine's."""
    precisions = {str(tensor.dtype).removeprefix("torch.") for tensor in component.module.parameters()}
    return {
        "precision": "+".join(sorted(precisions)),
        "shapes": " ".join("x".join(map(str, tensor.shape)) for tensor in component.example()),
        "program": hashlib.sha256(_code(program).encode()).hexdigest(),
        "weights": weights_of(component.module),
    }


def _code(program: ExportedProgram) -> str:
    """The program as text, whichever of several equal GPUs it was exported on."""
    return re.sub(r"index=\d+|cuda:\d+", "", program.graph_module.code)


def weights_of(module: nn.Module) -> str:
    """sha256 over every tensor of a module: name, type, shape, values; however they lie in memory."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _driver() -> str:
    try:
        import pynvml  # pyright: ignore[reportMissingImports]

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception:  # a container without NVML: the driver's CUDA version stands for it
        return f"cuda {torch._C._cuda_getDriverVersion()}"  # pyright: ignore[reportAttributeAccessIssue]
