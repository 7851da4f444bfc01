"""Cluster: `python -m server cluster`: the machines of one, and taking one out; and what `serve --cluster` does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.commands.options import TokenFile, token_of
from server.commands.terminal import console, explained
from server.settings import Settings

if TYPE_CHECKING:
    import httpx

app = typer.Typer(
    no_args_is_help=True, help="Machines that are one server: which there are, and taking one out. docs/cluster.md"
)
Server = Annotated[str, typer.Option(help="Any machine of the cluster.")]
HERE = "http://127.0.0.1:8000"
MISSING = "Ray is not installed: pip install -c constraints.txt -e '.[cluster]'"
EVERYWHERE = ("0.0.0.0", "::")
"Hosts to listen at that are none to open: the address that Ray knows this machine by is."
WAITS = (
    "telequilt: Ray has not started this machine's node yet: something else holds this machine's processors, or its GPUs. "
    "`ray status` says what; Ctrl-C to give up"
)


@app.command("list")
def listing(server: Server = HERE, token_file: TokenFile = None) -> None:
    """Every machine that is there: its load, what is live on it, and whether it takes callers."""
    from rich.table import Table

    with _explained():
        told = _asked("GET", server, "/api/cluster", token_file).json()
    table = Table("machine", "door", "channels and calls", "load", "")
    for one in told["nodes"]:
        state = "is being emptied" if one["draining"] else "takes callers" if one["welcome"] else "full, or warming up"
        here = " (here)" if one["node"] == told["here"] else ""
        table.add_row(one["node"] + here, one["door"], str(one["channels"]), f"{one['load']:.0%}", state)
    console().print(table)


@app.command()
def drain(node: str, server: Server = HERE, token_file: TokenFile = None) -> None:
    """Take a machine out: nobody new comes in, and its `serve --cluster` ends once everybody there has left."""
    with _explained():
        _asked("POST", server, f"/api/cluster/nodes/{node}/drain", token_file)
    typer.echo(f"{node} takes nobody any more; it ends once it is empty. `cluster fill {node}` takes that back")


@app.command()
def fill(node: str, server: Server = HERE, token_file: TokenFile = None) -> None:
    """Let a machine that is being emptied take callers again."""
    with _explained():
        _asked("DELETE", server, f"/api/cluster/nodes/{node}/drain", token_file)
    typer.echo(f"{node} takes callers again")


def serve(settings: Settings, address: Callable[[Settings, int, bool], str]) -> None:
    """This machine as a node of the cluster, until Ctrl-C, or until it has been drained."""
    try:
        from server.cluster.joining import Machine, NodeFailed, NoRay, join
    except ModuleNotFoundError as missing:
        if missing.name != "ray":
            raise
        typer.echo(f"telequilt: {MISSING}", err=True)
        raise typer.Exit(2) from None
    with explained(NoRay, NodeFailed):
        join()
        machine = Machine(settings)
        try:
            _announce(settings, address, machine.ready(waits=lambda: typer.echo(WAITS, err=True)))
            machine.wait(
                lost=lambda: typer.echo("telequilt: this machine's process died; Ray starts it anew", err=True),
                back=lambda state: _announce(settings, address, state),
            )
            typer.echo("telequilt: drained and empty; this machine has left the cluster", err=True)
        except KeyboardInterrupt:
            typer.echo("telequilt: leaving the cluster ...", err=True)
        finally:
            machine.stop()


def _announce(settings: Settings, address: Callable[[Settings, int, bool], str], state: dict[str, Any]) -> None:
    everywhere = settings.host in EVERYWHERE
    met = settings.model_copy(update={"host": state["address"]}) if everywhere else settings
    where = address(met, state["port"], sys.stderr.isatty())
    typer.echo(f"\n  Telequilt is at {where}  (node {state['name']} of a cluster)\n", err=True)


def _explained() -> AbstractContextManager[None]:
    from server.webrtc.client import Refused, Unreachable

    return explained(Unreachable, Refused)


def _asked(method: str, server: str, path: str, token_file: Path | None) -> httpx.Response:
    """Raises Unreachable, Refused."""
    import httpx

    from server.webrtc.client import Refused, Unreachable

    token = token_of(token_file)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.request(method, server.rstrip("/") + path, headers=headers, timeout=10, trust_env=False)
    except httpx.TransportError as failure:
        raise Unreachable(
            f"nobody answers at {server} ({failure}); `python -m server serve --cluster` starts a node"
        ) from None
    if answer.status_code == 404 and path == "/api/cluster":
        raise Refused(404, f"{server} runs alone: it was not started with --cluster")
    if answer.is_error:
        raise Refused(answer.status_code, _detail(answer))
    return answer


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError):
        return f"{answer.status_code} {answer.reason_phrase}"
