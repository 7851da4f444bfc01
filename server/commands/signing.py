"""Signing on the command line: `python -m server signing show | replace`: the key that films and stills are signed with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands.terminal import explained, settings_of

if TYPE_CHECKING:
    from server.provenance.keys import Credential, Keys

app = typer.Typer(
    no_args_is_help=True,
    help="""The key that films and stills are signed with.

    It is made when it is first needed, for its owner alone, and replaced by itself once a year. No trust list knows it: others read
    "unchanged, signed by a key that nobody vouches for". Whoever has a certificate that lists know sets TELEQUILT_SIGNING_CERTIFICATE
    (PEM, the whole chain) and TELEQUILT_SIGNING_KEY.
    """,
)
DataDir = Annotated[Path | None, typer.Option(help="Of which installation.", show_default="the server's own")]


@app.command()
def show(data_dir: DataDir = None) -> None:
    """Say which key signs, until when, and what others need to vouch for it."""
    from server.provenance.keys import KeyUnusable

    keys = _keys(data_dir)
    with explained(KeyUnusable):
        _print(keys.credential(), keys)


@app.command()
def replace(
    data_dir: DataDir = None,
    root: Annotated[
        bool, typer.Option("--root", help="And the root that vouches for it, where that may be known to others.")
    ] = False,
) -> None:
    """Make a new key now. What was signed before stays valid; with --root it is no longer said to be this installation's."""
    from server.provenance.keys import KeyUnusable

    keys = _keys(data_dir)
    with explained(KeyUnusable, OSError):
        if not keys.ours:
            raise KeyUnusable("the operator's own key signs here: replace it where it comes from")
        _print(keys.replace(root), keys)


def _keys(data_dir: Path | None) -> Keys:
    return settings_of({"data_dir": data_dir} if data_dir is not None else {}).keys


def _print(credential: Credential, keys: Keys) -> None:
    from server.provenance.keys import REPLACED_AFTER, ROOT

    certificate = credential.certificate
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    typer.echo(f"signs with   {credential.algorithm}, {certificate.subject.rfc4514_string()}")
    typer.echo(f"vouched for  by {credential.issuer}")
    typer.echo(f"certificate  {since:%Y-%m-%d} to {until:%Y-%m-%d}, SHA-256 {credential.fingerprint}")
    if credential.ours:
        typer.echo(f"replaced     by itself after {since + REPLACED_AFTER:%Y-%m-%d}")
        typer.echo(f"kept in      {keys.folder}, for its owner alone")
        typer.echo(f"\nOthers trust it with the certificate in {keys.folder / ROOT}, never with the key beside it:")
        typer.echo(
            f"  openssl x509 -in {keys.folder / ROOT} > ours.pem;  python -m server verify --trust ours.pem FILE"
        )
