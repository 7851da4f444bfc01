"""Expressions: what a family's heads are shown doing, as shares of ARKit's named actions."""

from __future__ import annotations

import numpy as np

CLOSED = "closed"
"The mouth shut and the rest relaxed: what a caller's face at rest looks like, while heads at rest have theirs a little open."

_SIDES = ("Left", "Right")
_BOTH = {
    "smile": {"mouthSmile": 1.0}, "grin": {"mouthSmile": 0.8, "mouthUpperUp": 0.8, "mouthLowerDown": 0.8},
    "frown": {"mouthFrown": 1.0}, "blink": {"eyeBlink": 1.0}, "squint": {"eyeSquint": 1.0, "cheekSquint": 1.0},
    "wide eyes": {"eyeWide": 1.0}, "brows up": {"browInnerUp": 1.0, "browOuterUp": 1.0}, "brows down": {"browDown": 1.0},
    "stretched": {"mouthStretch": 1.0}, "dimples": {"mouthDimple": 1.0}, "pressed": {"mouthPress": 1.0},
    "sneer": {"noseSneer": 1.0}, "upper lip": {"mouthUpperUp": 1.0}, "lower lip": {"mouthLowerDown": 1.0},
    "jaw": {"jawOpen": 1.0}, "half jaw": {"jawOpen": 0.5}, "jaw left": {"jawLeft": 1.0}, "jaw right": {"jawRight": 1.0},
    "jaw forward": {"jawForward": 1.0}, "pucker": {"mouthPucker": 1.0}, "funnel": {"mouthFunnel": 1.0}, "puff": {"cheekPuff": 1.0},
    "mouth left": {"mouthLeft": 1.0}, "mouth right": {"mouthRight": 1.0}, "rolled": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "shrug": {"mouthShrugLower": 1.0, "mouthShrugUpper": 1.0}, "inner brows": {"browInnerUp": 1.0},
}  # fmt: skip
_ONE_SIDE = ("mouthSmile", "eyeBlink", "browDown", "mouthFrown")
SHUT_WITH = frozenset({"jaw", "half jaw", "upper lip", "lower lip", "grin", "funnel", "stretched"})
"Expressions that part the lips themselves; in all others they touch."


def weights(
    action_names: tuple[str, ...], closing: float, mixed: int = 12, seed: int = 0
) -> tuple[list[str], np.ndarray]:
    """Names of expressions and [X, A] float32 shares: shut, the named ones, one-sided ones and `mixed` mixtures.

    `closing` is the share of jawOpen that heads at rest have and that shut lips lack.
    """
    number = {name: k for k, name in enumerate(action_names)}

    def row(shares: dict[str, float], shut: bool) -> np.ndarray:
        found = np.zeros(len(action_names), np.float32)
        for name, share in shares.items():
            for whole in (name, name + _SIDES[0], name + _SIDES[1]):
                if whole in number:
                    found[number[whole]] += share
        found[number["jawOpen"]] -= closing * shut
        return found

    names, rows = [CLOSED], [row({}, True)]
    for name, shares in _BOTH.items():
        names.append(name)
        rows.append(row(shares, name not in SHUT_WITH))
    for name in _ONE_SIDE:
        for side in _SIDES:
            names.append(f"{name} {side.lower()}")
            rows.append(row({name + side: 1.0}, True))
    rng = np.random.default_rng(seed)
    for k in range(mixed):
        names.append(f"mixture {k + 1}")
        chosen = rng.choice(list(_BOTH), 3, replace=False)
        rows.append(sum((rng.uniform(0.2, 0.8) * row(_BOTH[name], False) for name in chosen), row({}, bool(k % 2))))
    return names, np.stack(rows)
