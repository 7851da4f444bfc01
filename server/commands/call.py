"""Call: `python -m server call`: calls between people, made, invited to, listed and ended from a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal, TypeVar

import typer

from server.commands import terminal
from server.commands.options import TokenFile, token_of

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    help="""Calls between people: make one, invite, see who is there, end it.

    python -m server call make --title Tea --invite 2       prints the host's link and two invitations
    python -m server puppet --call 'LINK'                   seats a scripted member, so that one person can try it alone
    python -m server show --call 'LINK' --preview           watches it in a window, or on a Looking Glass

    Links hold what opens the call, after the #: put them in quotes, and give each to one person.
    """,
)
Server = Annotated[str, typer.Option(help="A running Telequilt.")]
HostLink = Annotated[str, typer.Argument(help="The host's link, in quotes: http://HOST/call/ID#t=TOKEN")]
Role = Literal["host", "member", "viewer", "recorder"]


@app.command()
def make(
    title: Annotated[str, typer.Option(help="What it is called, for eyes.")] = "",
    seats: Annotated[int, typer.Option(min=1, max=8, help="Members at most; who only watches is not counted.")] = 8,
    form: Annotated[
        Literal["auto", "pair", "table"],
        typer.Option(help="Each in a picture of their own, all at one table, or a table from three on."),
    ] = "auto",
    approve: Annotated[
        bool, typer.Option("--approve", help="Whoever comes waits until the host lets them in.")
    ] = False,
    invite: Annotated[int, typer.Option(min=0, max=8, help="How many invitations to print.")] = 1,
    server: Server = "http://127.0.0.1:8000",
    token_file: TokenFile = None,
) -> None:
    """Make a call, and print the host's link and invitations. It ends by itself where nobody comes within five minutes."""
    root = server.partition("#")[0].rstrip("/")

    async def made() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        from server.webrtc.client import ask

        asked = {"title": title, "seats": seats, "form": form, "approve": approve}
        call = await ask("POST", f"{root}/api/calls", token_of(token_file), asked)
        invitations = f"{root}/api/calls/{call['call']}/invitations"
        return call, [await ask("POST", invitations, call["host"]["token"], {"role": "member"}) for _ in range(invite)]

    call, invited = _done(made())
    typer.echo(f"\n  You, the host:   {root}/{call['host']['link']}")
    for number, one in enumerate(invited, 1):
        typer.echo(f"  Guest {number}:         {root}/{one['link']}")
    typer.echo("\n  Each invitation is for one person, for a day.")


@app.command()
def invite(
    link: HostLink,
    role: Annotated[Role, typer.Option(help="What whoever comes may do.")] = "member",
    name: Annotated[str | None, typer.Option(help="Whom it is for.")] = None,
    uses: Annotated[int, typer.Option(min=1, max=100, help="How many may come with it.")] = 1,
    hours: Annotated[float, typer.Option(min=0.01, max=168, help="How long it can be used.")] = 24.0,
) -> None:
    """Print an invitation to a call: a link for a person, a display (--role viewer) or a recorder."""
    from server.commands.attendance import Link

    with _explained():
        host = Link.read(link)
    asked: dict[str, Any] = {"role": role, "uses": uses, "expires_in": hours * 3600}
    made = _done(_ask("POST", f"{host.api}/invitations", host.token, asked | ({"name": name} if name else {})))
    typer.echo(f"{host.server}/{made['link']}")


@app.command()
def seat(
    link: HostLink,
    name: Annotated[str, typer.Option(help="Whose it is, for others to see.")] = "Camera",
    avatar: Annotated[str, typer.Option(help="Which avatar it drives.")] = "sample",
) -> None:
    """Take a seat for a client that speaks WHIP and nothing else, such as OBS or FFmpeg, and print what to put in there.

    With that its face drives an avatar that others see, and its sound is heard: whoever is before it has to know.
    """
    from server.commands.attendance import Link

    with _explained():
        host = Link.read(link)
    asked = {"name": name, "avatar": avatar, "consent": True, "plain": True}
    made = _done(_ask("POST", f"{host.api}/seats", host.token, asked))
    typer.echo(f"\n  WHIP address:  {host.server}/{made['whip']}\n  Bearer token:  {made['token']}\n")
    typer.echo(f"  Watch with any WHEP player and the same token: {host.server}/{made['whep']}")
    typer.echo("  The token holds the seat for a day.")


@app.command("list")
def listing(
    link: Annotated[str | None, typer.Argument(help="One call alone, by any link to it.")] = None,
    server: Server = "http://127.0.0.1:8000",
    token_file: TokenFile = None,
) -> None:
    """Show calls and who is there: all of a server on this machine, or the one of a link."""
    from rich.table import Table

    from server.commands.attendance import Link

    with _explained():
        one = Link.read(link) if link is not None else None
    if one is not None:
        calls = [_done(_ask("GET", one.api, one.token))]
    else:
        calls = _done(_ask("GET", f"{server.partition('#')[0].rstrip('/')}/api/calls", token_of(token_file)))
    if not calls:
        typer.echo("No calls. (A server for others lists none: give a link.)")
        return
    table = Table("call", "title", "state", "seat", "name", "role", "there", "picture", box=None, pad_edge=False)
    for call in calls:
        facts = (call["call"], call["title"], call["state"])
        for number, row in enumerate(call["seats"] or [{}]):
            told = [str(row.get(key, "")) for key in ("seat", "name", "role", "state", "publishing")]
            table.add_row(*(facts if number == 0 else ("", "", "")), *told)
    terminal.console(highlight=False, markup=False).print(table)


@app.command()
def end(link: HostLink) -> None:
    """End a call for everybody."""
    from server.commands.attendance import Link

    with _explained():
        host = Link.read(link)
    _done(_ask("DELETE", host.api, host.token))
    typer.echo("The call has ended.")


async def _ask(method: str, url: str, token: str | None, body: Any = None) -> Any:
    from server.webrtc.client import ask  # heavy: --help should answer at once

    return await ask(method, url, token, body)


def _done(work: Coroutine[Any, Any, T]) -> T:
    with _explained():
        return asyncio.run(work)


def _explained() -> AbstractContextManager[None]:
    from server.commands.attendance import LinkUnreadable
    from server.webrtc.client import Refused, Unreachable

    return terminal.explained(LinkUnreadable, Refused, Unreachable)
