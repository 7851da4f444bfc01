"""Terminal: what commands say there: how far their work has come, and what somebody can mend, in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError

from server.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

UNBOUND = 10_000
"Columns of what is no terminal: a table that is piped keeps a line a row, for grep and for mails."

Told = Callable[[str, int, int], None]
"What `progress` yields: told what is done now, how many are done, of how many (0: unknown)."


def console(**options: Any) -> Console:
    """Where tables go: as wide as the terminal, and unwrapped where there is none (COLUMNS, where it is set, says how wide)."""
    from rich.console import Console

    unbound = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=UNBOUND if unbound else None, **options)


@contextmanager
def explained(*mendable: type[Exception]) -> Iterator[None]:
    """Turn an error that somebody can mend into one line; whatever is left is ours and keeps its trace."""
    try:
        yield
    except mendable as error:
        typer.echo(f"telequilt: {error}", err=True)
        raise typer.Exit(2) from None


def settings_of(given: dict[str, Any]) -> Settings:
    """Settings from what was `given` as flags, and the environment; ends here where they are wrong."""
    try:
        return Settings(**given)
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            what = problem["msg"].removeprefix("Value error, ")
            typer.echo(f"telequilt: {where + ': ' if where else ''}{what}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def progress(*columns: ProgressColumn) -> Iterator[Told]:
    """A bar that is gone at the end. Yields what to tell (what is done now, how many are done, of how many; 0: unknown)."""
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(TextColumn("{task.description}"), BarColumn(), *columns, transient=True) as bars:
        bar = bars.add_task("", total=None)
        yield lambda what, done, of: bars.update(bar, description=what, completed=done, total=of or None)
