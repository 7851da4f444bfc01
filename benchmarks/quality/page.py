"""Page: one folder that opens in any browser, without a server: figures, sheet, tracks, and every film beside its driver."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.quality import papers, sheet, tables, tracks
from benchmarks.quality.columns import CONDITIONS, GROUPS, MEANING
from benchmarks.quality.credits import credit
from benchmarks.quality.running import Done


def write(folder: Path, result: dict[str, Any], done: Sequence[Done]) -> Path:
    """Everything into `folder`; returns its index.html. Nothing in it is fetched from elsewhere."""
    (folder / "films").mkdir(parents=True, exist_ok=True)
    title = f"{result['engine']} on {result['data']}, commit {result['commit']}"
    sheet.write(folder / "sheet.jpg", done, title)
    tracks.write(folder / "tracks.png", done, title)
    films = []
    for one in done:
        if one.films and one.sheet:
            for path in one.films.values():
                shutil.copy(path, folder / "films" / path.name)
            photo = f"films/{one.films['shown'].stem}.png"
            Image.fromarray(one.sheet["source"]).save(folder / photo)
            paths = {name: f"films/{path.name}" for name, path in one.films.items()}
            films.append({"pair": one.task.name, "source": photo} | paths)
    (folder / "films.json").write_text(
        json.dumps({"engine": result["engine"], "commit": result["commit"], "films": films})
    )
    names = {name for one in done for name in (one.task.pair.source, one.task.pair.driver)}
    filled = {
        "title": html.escape(title),
        "head": _head(result),
        "films": "\n".join(_film(film) for film in films),
        "tables": "\n".join(_tables(result)),
        "papers": _papers(result),
        "credits": "\n".join(f"<li>{html.escape(line)}</li>" for line in sorted(filter(None, map(credit, names)))),
    }
    page = files("benchmarks.quality").joinpath("page.html").read_text()
    for name, text in filled.items():
        page = page.replace("{{" + name + "}}", text)
    (folder / "index.html").write_text(page)
    return folder / "index.html"


def _head(result: dict[str, Any]) -> str:
    lines = [
        f"{result['people']} people, {result['pairs']} pairs, {result['looked_at']} pictures looked at, on {result['date'][:10]}.",
        tables.failed(result).capitalize() + ".",
        *result["not_measured"],
        *result["not_run"],
    ]
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _film(film: dict[str, str]) -> str:
    name = html.escape(film["pair"])
    players = "".join(
        f'<video src="{film[key]}" muted loop playsinline preload="metadata"></video>' for key in ("driver", "shown")
    )
    return f'<figure><div class="pair">{players}</div><figcaption>{name}</figcaption></figure>'


def _tables(result: dict[str, Any]) -> list[str]:
    made = []
    for group, heading in GROUPS.items():
        for kind in result["figures"]:
            rows = tables.table(result, kind, group)
            if rows:
                used = [one for one in CONDITIONS if one in result["figures"][kind]]
                marked = "".join(f'<th title="{html.escape(MEANING[one])}">{one}</th>' for one in used)
                body = "".join(
                    "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
                )
                caption = f"{heading}: {kind} ({tables.counts(result, kind)})"
                made.append(f"<h3>{html.escape(caption)}</h3><table><tr><th></th>{marked}</tr>{body}</table>")
    return made


def _papers(result: dict[str, Any]) -> str:
    made = ["<p>These stand apart from the figures above, since:</p><ul>"]
    made += [f"<li>{html.escape(reason)}</li>" for reason in papers.why_apart(result)]
    made.append("</ul>")
    for title, columns, rows in papers.beside(result):
        head = "".join(f"<th>{html.escape(column)}</th>" for column in ("", *columns))
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        made.append(f"<h3>{html.escape(title)}</h3><table><tr>{head}</tr>{body}</table>")
    return "".join(made)
