"""Fit, interpolate and transfer on the command line: whose head a scan is, and what lies between two heads or two faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.commands.terminal import explained, progress

if TYPE_CHECKING:
    import numpy as np

    from engines.parametric.head import Codes, HeadModel
    from server.commands.terminal import Told

Model = Annotated[
    Path | None,
    typer.Option("--model", help="A head model of `train`.", show_default="the one that comes with the engine"),
]
Somebody = "A photo, a scan (.ply), or what `fit` wrote (.npz)."


def fit(
    scan: Annotated[
        Path, typer.Argument(help="A cloud or mesh of a head, upright, looking along +z: .ply, .npy or .npz.")
    ],
    out: Annotated[Path, typer.Option(help="Where to write the head: .ply or .glb; its codes go beside it as .npz.")],
    expression: Annotated[bool, typer.Option(help="Look for the face's expression too.")] = False,
    units: Annotated[
        str | None, typer.Option(help="mm, cm, dm, m, or canonical (250 mm).", show_default="guessed from the extent")
    ] = None,
    noise: Annotated[
        float, typer.Option(min=0.0, max=5.0, help="Of the scan's points, in mm: the more, the smoother the head.")
    ] = 0.1,
    side: Annotated[int, typer.Option(min=32, max=512, help="Points along each side of the grid of the mesh.")] = 128,
    model: Model = None,
) -> None:
    """Find the head of the model whose surface a scan lies on, and write it as a mesh.

    python -m server fit scan.ply --out head.glb --expression
    """
    import numpy as np
    from rich.progress import TaskProgressColumn

    from engines import mesh

    if out.suffix.lower() not in (".ply", ".glb") or not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"{out} would not be a mesh: name a .ply or .glb file in a folder that exists")
    with explained(*_mendable()), progress(TaskProgressColumn()) as told:
        heads = _model(model)
        found, said = _from_scan(heads, scan, expression, units, noise, told)
        vertices, faces = _posed(heads, found, side)
        plaster = np.full(vertices.shape, 200, np.uint8)
        mesh.write(
            mesh.Mesh(vertices, faces, plaster), out, "Telequilt, a parametric head fitted to a scan; units of 250 mm"
        )
        _keep(found, out.with_suffix(".npz"))
    typer.echo(f"{out}: {len(vertices)} points, {len(faces)} triangles; {said}")
    typer.echo(f"{out.with_suffix('.npz')}: its codes, for interpolate and transfer")


def interpolate(
    first: Annotated[Path, typer.Argument(help=Somebody)],
    last: Annotated[Path, typer.Argument(help=Somebody)],
    out: Annotated[Path, typer.Option(help="The strip of pictures: .png.")],
    steps: Annotated[int, typer.Option(min=2, max=24, help="Pictures.")] = 7,
    model: Model = None,
) -> None:
    """Draw the heads on the way from one person and expression to another.

    python -m server interpolate me.jpg you.jpg --out between.png
    """
    from rich.progress import TaskProgressColumn

    from engines.parametric import strips

    _check_picture(out)
    with explained(*_mendable()), progress(TaskProgressColumn()) as told:
        heads = _model(model)
        ends = [_somebody(heads, path, told) for path in (first, last)]
        picture = strips.between(heads, ends[0], ends[1], steps, lambda done, of: told("drawing", done, of))
    _write(picture, out)


def transfer(
    source: Annotated[Path, typer.Argument(metavar="FROM", help=Somebody)],
    target: Annotated[Path, typer.Argument(metavar="TO", help=Somebody)],
    out: Annotated[Path, typer.Option(help="The strip of pictures: .png.")],
    expression: Annotated[
        str | None, typer.Option(help="A named expression instead of FROM's own: smile, jaw, ...")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, max=24, help="Pictures of each.")] = 5,
    model: Model = None,
) -> None:
    """Draw an expression coming over one face, and the same over another.

    python -m server transfer smiling.jpg me.jpg --out transfer.png
    """
    from rich.progress import TaskProgressColumn

    from engines.parametric import strips

    _check_picture(out)
    with explained(*_mendable()), progress(TaskProgressColumn()) as told:
        heads = _model(model)
        one, other = (_somebody(heads, path, told) for path in (source, target))
        code = heads.expression(expression) if expression else one.z_ex
        picture = strips.transferred(heads, one, other, code, steps, lambda done, of: told("drawing", done, of))
    _write(picture, out)


def _mendable() -> tuple[type[Exception], ...]:
    from engines.contract import PortraitRejected
    from engines.mesh import MeshingMissing, NoSurface
    from engines.parametric.fitting import CloudRejected
    from engines.parametric.head import UnknownExpression
    from engines.weights import CheckpointRejected
    from server.media.portraits import PortraitUnreadable

    return (
        *(CheckpointRejected, CloudRejected, PortraitRejected, PortraitUnreadable, UnknownExpression),
        *(MeshingMissing, NoSurface, OSError),
    )


def _model(path: Path | None) -> HeadModel:
    import torch

    from engines.parametric import checkpoint

    torch.set_num_threads(1)  # steps are small: a second thread costs more than it gives where cores are shared
    return checkpoint.load(path)


def _somebody(heads: HeadModel, path: Path, told: Told) -> Codes:
    """Of a photo, a scan or kept codes."""
    if path.suffix.lower() == ".npz":
        return _codes(heads, path)
    if path.suffix.lower() == ".ply":
        return _from_scan(heads, path, True, None, 0.1, told)[0]
    import torch

    from engines.parametric import posing
    from engines.parametric.head import Codes
    from pipeline.preprocess.observer import observe_portrait
    from server.media import portraits

    told(f"looking at {path.name}", 0, 0)
    seen = observe_portrait(portraits.from_file(path))
    posed = posing.fit(heads, seen.landmarks, seen.pose)
    z_id = heads.z(torch.from_numpy(posed.padded(len(heads.basis))).float()[None])
    return Codes(z_id, torch.from_numpy(posed.expression).float()[None])


def _keep(found: Codes, path: Path) -> None:
    import numpy as np

    assert found.detail is not None
    np.savez(path, z_id=found.z_id.numpy(), z_ex=found.z_ex.numpy(), detail=found.detail.numpy().astype(np.float16))


def _codes(heads: HeadModel, path: Path) -> Codes:
    import numpy as np
    import torch

    from engines.parametric.fitting import CloudRejected
    from engines.parametric.head import Codes

    try:
        with np.load(path) as file:
            names = ("z_id", "z_ex", "detail")
            z_id, z_ex, detail = (torch.from_numpy(file[name].astype(np.float32)) for name in names)
    except (KeyError, ValueError) as failure:
        raise CloudRejected(f"{path.name} holds no codes of `fit`: {failure}") from None
    arch = heads.identity.arch
    wanted = ((1, len(heads.mean)), (1, heads.expressions.shape[1]), (1, 3, arch.channels, arch.side, arch.side))
    if (z_id.shape, z_ex.shape, detail.shape) != wanted:
        raise CloudRejected(
            f"{path.name} holds codes of {tuple(z_id.shape)} and {tuple(z_ex.shape)} numbers, which are another model's"
        )
    return Codes(z_id, z_ex, detail)


def _from_scan(
    heads: HeadModel, path: Path, expression: bool, units: str | None, noise: float, told: Told
) -> tuple[Codes, str]:
    import torch

    from engines.parametric import fitting, scan
    from engines.parametric.head import Codes

    points, unit = scan.canonical(scan.read(path), units)
    cloud, search = fitting.checked(points), fitting.Search(loose=True, noise=noise)
    if expression:
        found, z_ex = fitting.with_expression(
            heads, cloud, search, progress=lambda done, of: told("looking for head and expression", done, of)
        )
    else:
        found = fitting.identity(heads, cloud, search, lambda done, of: told("looking for the head", done, of))
        z_ex = torch.zeros_like(heads.expressions[:1])
    said = f"the scan, taken as {unit}, lies {found.error:.2f} mm from it on average"
    return Codes(found.z_id, z_ex, found.detail), said


def _posed(heads: HeadModel, head: Codes, side: int) -> tuple[np.ndarray, np.ndarray]:
    from engines.parametric import extraction, strips

    if head.z_ex.any():
        return strips.posed(heads, head, side)
    found = extraction.surface(heads.distance(head.z_id, head.detail), side=side)
    return found.vertices, found.faces


def _check_picture(out: Path) -> None:
    """Before minutes of work."""
    if out.suffix.lower() != ".png" or not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"{out} would not be a picture: name a .png file in a folder that exists")


def _write(picture: np.ndarray, out: Path) -> None:
    import cv2

    cv2.imwrite(str(out), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    typer.echo(f"{out}: {picture.shape[1]}x{picture.shape[0]}")
