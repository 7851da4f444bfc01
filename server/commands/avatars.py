"""Avatars on the command line: `python -m server avatars import | mannequin`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import typer

from server.commands.terminal import explained, settings_of
from server.words import one_line

app = typer.Typer(
    no_args_is_help=True,
    help="""Avatars that were made elsewhere: heads of Gaussians (docs/splats.md).

    python -m server avatars import me.zip --consent me      keep one that LAM exported; the page takes such files too
    python -m server avatars mannequin mannequin.zip         write one that is nobody's, to try it with
    python -m server consent list                            every avatar that is kept here
    """,
)


@app.command("import")
def import_avatar(
    file: Annotated[
        Path, typer.Argument(help="The zip as LAM exports it, with offset.ply and skin.glb in its folder.")
    ],
    consent: Annotated[
        Literal["me", "consenting", "synthetic"],
        typer.Option(help="Whose face it is: mine, someone's who agreed, nobody's."),
    ],
    name: Annotated[str | None, typer.Option(help="What it is called.", show_default="the file's name")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Of which installation.", show_default="the server's own")
    ] = None,
) -> None:
    """Check an avatar that was made elsewhere, and keep it for the engine splats. A running server shows it at once.

    Kept are its Gaussians, a picture, a name, whose face it is, and a hash of the file; not the file. `consent withdraw` deletes all of it.
    """
    from engines import catalogue
    from engines.contract import AvatarRefused
    from pipeline.avatar_files import Consent
    from pipeline.avatars import NoRoomForAvatars
    from server.channels.services import kept, open_avatars
    from server.provenance.consents import GIVEN, Consents
    from server.recordings.archive import mark_of

    settings = settings_of({"data_dir": data_dir} if data_dir is not None else {})
    with explained(AvatarRefused, NoRoomForAvatars, OSError):
        if file.is_dir():
            raise AvatarRefused(
                "a-folder", f"{file} is a folder: pack it whole: python -m zipfile -c {file.name}.zip {file}"
            )
        if file.stat().st_size > settings.max_portrait_bytes:
            raise AvatarRefused(
                "too-large", f"{file} is larger than TELEQUILT_MAX_PORTRAIT_BYTES, {settings.max_portrait_bytes}"
            )
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        engine = catalogue.load(catalogue.TAKING, settings.engine_options)
        record = kept(open_avatars(settings), engine, data, Consent(consent), digest, one_line(name or file.stem))
    Consents(settings.provenance_dir).add(GIVEN, avatar=mark_of(record.id), consent=consent)
    typer.echo(f"{record.name} is kept as {record.id}")
    typer.echo(f"  licence: {one_line(record.licence)}")
    typer.echo("  python -m server serve, then choose it on the page, or without a camera:")
    typer.echo(f"  python -m server puppet --avatar {record.id}")


@app.command()
def mannequin(
    out: Annotated[Path, typer.Argument(help="Where to write it: a .zip.")],
) -> None:
    """Write a head that is nobody's (CC0) in the form that LAM exports: an avatar for whoever has none, and a sample of the form."""
    from engines.splats import exporting

    with explained(OSError):
        out.write_bytes(exporting.packed(out.stem))
    typer.echo(f"{out}: python -m server avatars import {out} --consent synthetic")
