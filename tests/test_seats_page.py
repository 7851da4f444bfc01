"""The page's cut of a table is the seat that the server has put there: its own numbers, in node."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from display.seating import SEAT_HEIGHT, SEAT_WIDTH, seated
from server.calls.forms import table_form
from tests.test_head_look import in_node, needs_node

PAGES = Path(__file__).parents[1] / "server" / "pages" / "shared"

CUTS = """
const { screenOfSeat, isShown } = await import(SEATS);
const { tileOf } = await import(TILING);
const { form, numbers } = INPUT;
const cuts = numbers.map((seat) => {
  const screen = screenOfSeat(form, seat);
  return { aspect: screen.aspect, tiles: screen.yaws_degrees.map((_, view) => tileOf(screen, view)) };
});
const video = (wide, high) => isShown(form, { videoWidth: wide, videoHeight: high });
const { width, height } = form;
const same = [video(width, height), video(width / 2, height / 2), video(width, 2 * height)];
console.log(JSON.stringify({ cuts, nobody: screenOfSeat(form, 99), same }));
"""


@needs_node
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_a_page_cuts_each_seat_out_of_the_tables_video(count: int):
    numbers = [3 * n + 1 for n in range(count)]
    seating = seated(numbers)
    screen = seating.screen()
    modules = {name: (PAGES / f"{name.lower()}.js").read_bytes() for name in ("SEATS", "TILING")}
    where = "".join(
        f"const {name} = 'data:text/javascript;base64,{base64.b64encode(text).decode()}';\n"
        for name, text in modules.items()
    )
    found = in_node(where + CUTS, form=table_form(seating), numbers=numbers)
    for place, cut in zip(seating.places, found["cuts"], strict=True):
        assert cut["aspect"] == pytest.approx(SEAT_WIDTH / SEAT_HEIGHT)
        for view, tile in enumerate(cut["tiles"]):
            left, top = screen.tile_origin(view)
            assert tile["left"] * screen.quilt_width == pytest.approx(left + place.left)
            assert tile["top"] * screen.quilt_height == pytest.approx(top + place.top)
            assert tile["width"] * screen.quilt_width == pytest.approx(SEAT_WIDTH)
            assert tile["height"] * screen.quilt_height == pytest.approx(SEAT_HEIGHT)
    assert found["nobody"] is None
    assert found["same"] == [True, True, False]
