"""Options that several commands take: how networks are run, and with which weights. What they say is put where engines look."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from engines.runtime import PRECISION, RUNTIME, UnknownRuntime, check, check_precision
from server.settings import read_token


def _use_synthetic_weights(wanted: bool) -> None:
    if wanted:
        from engines.weights import SYNTHETIC  # brings torch

        os.environ[SYNTHETIC] = "1"


def _for_engines(variable: str, check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """An option's callback: what it says is checked and put where engines look for it."""

    def use(value: str | None) -> str | None:
        if value is not None:
            try:
                os.environ[variable] = check(value)
            except UnknownRuntime as unknown:
                raise typer.BadParameter(str(unknown)) from None
        return value

    return use


SyntheticWeights = Annotated[
    bool,
    typer.Option(
        "--synthetic-weights",
        callback=_use_synthetic_weights,
        help="For benchmarks and tests: run a neural engine without its weights. What it shows is noise, and says so.",
    ),
]

TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="TELEQUILT_TOKEN_FILE",
        help="A file that holds the server's token; without one, TELEQUILT_TOKEN does. (Arguments show in `ps`.)",
    ),
]


def token_of(file: Path | None) -> str | None:
    """A client's token: from `file`, else from the environment."""
    try:
        return read_token(file) if file is not None else os.environ.get("TELEQUILT_TOKEN")
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--token-file") from None


NETWORKS = "How networks are run (docs/hardware.md)"
Runtime = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        callback=_for_engines(RUNTIME, check),
        help="eager, graphs, trt, or auto: the best that is ready here; `engines` explains them.",
        show_default="auto",
        rich_help_panel=NETWORKS,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        callback=_for_engines(PRECISION, check_precision),
        help="float32, bfloat16, float16, or auto: float16 on a GPU, float32 on a processor.",
        show_default="auto",
        rich_help_panel=NETWORKS,
    ),
]
