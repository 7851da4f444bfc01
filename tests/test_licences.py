"""What an install brings along may be used by everybody: every distribution that the product needs has a licence that we know."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

FREE = (
    r"MIT|MIT-0|MIT-CMU|BSD|BSD-2-Clause|BSD-3-Clause|3-Clause BSD|Apache( Software|-2\.0)?( License)?( 2\.0)?|ISC|ISCL"
    r"|PSF-2\.0|Python Software Foundation|MPL-2\.0|Mozilla Public License 2\.0|BSL-1\.0|Zlib|0BSD|CC0-1\.0|Unlicense|LLVM-exception|DFSG"
)
"Licences that let anybody use, change and pass on; MPL 2.0 asks only for changes to its own files."
BOUND = re.compile(r"\b(A?GPL|LGPL|SSPL|BUSL|CC-BY-NC|non.?commercial|proprietary)", re.IGNORECASE)


def stated(name: str) -> str:
    """What a distribution says of its licence: the SPDX expression, else its classifiers, else its licence field's first line."""
    told = distribution(name).metadata
    classifiers = [
        one.rsplit("::", 1)[1].strip() for one in told.get_all("Classifier") or () if one.startswith("License ::")
    ]
    field = (told["License"] or "").strip().splitlines()
    return told["License-Expression"] or "; ".join(classifiers) or (field[0] if field else "")


def needed(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Names of all that `name` needs here, directly or not."""
    found: set[str] = set()
    waiting = [(name, extras)]
    seen = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for requirement in map(Requirement, distribution(one[0]).requires or ()):
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in (*one[1], "")):
                continue
            found.add(requirement.name)
            waiting.append((requirement.name, frozenset(requirement.extras)))
    return found


def test_everything_that_the_product_needs_may_be_used_by_everybody():
    try:
        names = sorted(needed("telequilt"))
    except PackageNotFoundError as missing:
        pytest.skip(f"not installed as a package, so nothing says what it needs: {missing}")
    assert len(names) > 30
    licences = {name: stated(name) for name in names}
    assert {name: said for name, said in licences.items() if BOUND.search(said) or not re.search(FREE, said)} == {}


@pytest.mark.parametrize(
    "said", ["GPL-3.0", "AGPL-3.0-only", "GNU LGPLv2", "Free for non-commercial use", "Proprietary", "SSPL-1.0"]
)
def test_a_licence_that_binds_is_seen(said):
    assert BOUND.search(said) or not re.search(FREE, said)
