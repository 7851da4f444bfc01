"""Two devices in one room are told by what their microphones hear; people who talk to each other from two rooms are not."""

from __future__ import annotations

import numpy as np

from server.media.one_room import BIN, BINS, OneRoom

SECONDS = 1.2 * BINS * BIN


def talk(seed: int) -> np.ndarray:
    """[N] -dBov, every 20 ms: words and gaps between them."""
    random = np.random.default_rng(seed)
    words = np.repeat(random.random(int(SECONDS / 0.2)) < 0.6, 10)
    return np.where(words, random.normal(32, 3, len(words)), random.normal(68, 2, len(words)))


def told(rooms: dict[int, np.ndarray], late: float = 0.0) -> list[tuple[int, int]]:
    one_room = OneRoom()
    for number in range(min(map(len, rooms.values()))):
        for seat, levels in rooms.items():
            one_room.hear(seat, float(levels[number]), 0.02 * number + late * seat)
    return one_room.news() + one_room.news()


def test_two_microphones_that_hear_one_talk_are_in_one_room_and_that_is_told_once():
    heard = talk(1)
    noise = np.random.default_rng(2).normal(0, 2, len(heard))
    assert told({1: heard, 2: heard + 6 + noise, 3: talk(3)}) == [(1, 2)], "the second is further away"
    assert told({1: heard, 2: heard + 6 + noise}, late=0.05) == [(1, 2)]


def test_people_in_rooms_of_their_own_are_not_taken_for_neighbours():
    heard = talk(1)
    answers = np.where(heard > 50, 34.0, 69.0)
    assert told({1: heard, 2: talk(4)}) == []
    assert told({1: heard, 2: answers}) == [], "who answers speaks in the gaps"
    assert told({1: heard, 2: heard}, late=0.4) == [], "a loudspeaker's echo from afar is later"
    assert told({1: np.full(700, 68.0), 2: np.full(700, 68.0)}) == [], "silence is alike everywhere"


def test_who_has_left_is_forgotten():
    one_room = OneRoom()
    for number, level in enumerate(talk(1)):
        for seat in (1, 2):
            one_room.hear(seat, float(level), 0.02 * number)
    one_room.forget(2)
    assert one_room.news() == []
