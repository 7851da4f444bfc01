"""Options that several commands take: how networks are run, and with which weights. A flag wins over its TELEQUILT_* variable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engines.runtime import UnknownRuntime, check, check_precision
from server.commands.terminal import settings_of
from server.settings import read_token

if TYPE_CHECKING:
    from engines.options import EngineOptions


def engine_options(**flags: Any) -> EngineOptions:
    """What the user wants of engines: `flags` that were given (None: not), and the environment for the rest."""
    return settings_of({name: value for name, value in flags.items() if value not in (None, False)}).engine_options


def _known(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """An option's callback: what it says is checked before anything starts."""

    def use(value: str | None) -> str | None:
        try:
            return value if value is None else check(value)
        except UnknownRuntime as unknown:
            raise typer.BadParameter(str(unknown)) from None

    return use


SyntheticWeights = Annotated[
    bool,
    typer.Option(
        "--synthetic-weights",
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
        callback=_known(check),
        help="eager, graphs, trt, or auto: the best that is ready here; `engines` explains them.",
        show_default="auto",
        rich_help_panel=NETWORKS,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        callback=_known(check_precision),
        help="float32, bfloat16, float16, or auto: float16 on a GPU, float32 on a processor.",
        show_default="auto",
        rich_help_panel=NETWORKS,
    ),
]
