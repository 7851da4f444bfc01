"""How much a caller is told to send: less while it is too much, slowly more afterwards."""

from __future__ import annotations

from server.webrtc.allowance import EVERY, LEAST, Allowance


def test_nothing_is_held_back_while_nothing_was_too_much():
    assert Allowance().most(5.0) is None


def test_each_time_less_down_to_a_face_in_motion_and_not_faster_than_a_sender_follows():
    allowance, told = Allowance(), []
    for number in range(100):
        now = number * EVERY / 3
        allowance.too_much(now, 12_000_000)
        told.append(allowance.most(now))
    assert told[0] == 7_200_000
    assert told[2] > 0.99 * told[0]
    assert told[3] < 0.65 * told[0]
    assert told[-1] == LEAST


def test_it_grows_again_until_the_sender_may_send_what_it_wanted():
    allowance = Allowance()
    allowance.too_much(0.0, 4_000_000)
    grown = [allowance.most(float(second)) for second in range(60)]
    known = [one for one in grown if one is not None]
    assert known == sorted(known)
    assert known[-1] <= 4_000_000
    assert grown[-1] is None
