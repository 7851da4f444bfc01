"""Verify: hold runtimes against eager in float32, component by component, on the machine at hand."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from engines.runtime import Component, HasComponents, Precision, Run, Runtime, available, choose
from engines.weights import Progress

REPEATS = {"cpu": 1, "cuda": 10}
DEFINES = ("eager", Precision.FLOAT32)
"What all others are held against."


@dataclass(frozen=True)
class Verdict:
    """How one component of one runtime compares."""

    component: str
    runtime: str
    "The one that was asked for."
    by: str
    "The one that ran it: a slower one where that cannot."
    precision: Precision
    worst: float
    "Largest difference."
    decibels: float
    "Mean error below the reference's span; infinite where nothing differs."
    least: float
    "What `decibels` has to be."
    milliseconds: float
    "Median of one call."
    passed: bool


def verify(
    engine: HasComponents,
    device: torch.device,
    runtimes: Sequence[str] | None = None,
    precisions: Sequence[Precision] = (),
    progress: Progress = lambda *_: None,
) -> Iterator[Verdict]:
    """A verdict for each component, runtime and precision; float32 eager, which defines correct, first and against itself.

    By default every runtime that the device can have, in every precision that some component states an agreement for.
    """
    defining = engine.components(device, Precision.FLOAT32)
    stated = [each for each in Precision if any(each in component.agreement for component in defining)]
    ways = [
        (name, precision)
        for precision in precisions or stated
        for name in runtimes or reversed(available(device))
        if (name, precision) != DEFINES
    ]
    often = sum(component.often for component in defining)
    of = len(defining) + sum(len(defining) if name == "eager" else often for name, _ in ways)
    done, expected = 0, {}
    for done, component in enumerate(defining):
        progress(f"{component.name} by eager, float32", done, of)
        verdict, expected[component.name] = _defined(component, choose("eager", device))
        yield verdict
    for name, precision in ways:
        runtime = choose(name, device)
        for component in engine.components(device, precision):
            if name != "eager" and not component.often:
                continue  # every runtime runs it eagerly
            done += 1
            progress(f"{component.name} by {name}, {precision.value}", done, of)
            yield compared(component, runtime, precision, expected[component.name])


def _defined(component: Component, eager: Runtime) -> tuple[Verdict, Tensor]:
    """The reference itself: what it costs, and that it is finite and the same twice."""
    reference = eager.prepare(component)(*component.example())
    return compared(component, eager, Precision.FLOAT32, reference), reference


def compared(component: Component, runtime: Runtime, precision: Precision, reference: Tensor) -> Verdict:
    """`component` as `runtime` runs it against `reference`, what eager gives for its example in float32, of the same shape."""
    run, inputs = runtime.prepare(component), component.example()
    result = run(*inputs)
    least = component.agreement.get(precision, math.inf)
    return Verdict(
        component.name,
        runtime.name,
        run.by,
        precision,
        float((result - reference).abs().max()),
        level := decibels(result, reference),
        least,
        milliseconds(run, inputs),
        passed=level >= least,
    )


def decibels(result: Tensor, reference: Tensor) -> float:
    """How far the root mean square error of `result`, of any shape, lies below the reference's span; -inf for what is not
    finite or of another shape."""
    if result.shape != reference.shape or not (result.isfinite().all() and reference.isfinite().all()):
        return -math.inf
    error = float((result.double() - reference.double()).square().mean().sqrt())
    span = float(reference.max() - reference.min())
    return math.inf if error == 0 else 20 * math.log10(span / error) if span else -math.inf


def milliseconds(run: Run, inputs: tuple[Tensor, ...]) -> float:
    """Of one call on `inputs`, of the component's shapes, from start to end, the device waited for; the first has been made already."""
    device, times = inputs[0].device, []
    for _ in range(REPEATS.get(device.type, 1)):
        _wait(device)
        begun = time.perf_counter()
        run(*inputs)
        _wait(device)
        times.append(1e3 * (time.perf_counter() - begun))
    return median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
