"""What one thread hands to the next: never more than there is room for."""

from __future__ import annotations

import threading

from vhap.pipeline.live_handover import Handover


def test_the_newest_wins_and_the_others_are_counted():
    handover: Handover[int] = Handover(1, newest_wins=True)
    assert all(handover.put(number) for number in (1, 2, 3, 4))
    assert handover.get() == 4
    assert handover.dropped == 3


def test_without_room_it_waits_for_who_takes():
    handover: Handover[int] = Handover(1)
    taken: list[int | None] = []
    giver = threading.Thread(target=lambda: [handover.put(number) for number in range(50)])
    giver.start()
    taken = [handover.get() for _ in range(50)]
    giver.join()
    assert taken == list(range(50))
    assert handover.dropped == 0


def test_what_is_there_when_it_is_closed_can_be_taken():
    handover: Handover[int] = Handover(2)
    assert handover.put(7)
    handover.close()
    assert not handover.put(8)
    assert handover.get() == 7
    assert handover.get() is None


def test_closing_wakes_who_waits():
    full: Handover[int] = Handover(1)
    assert full.put(1)
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(full.put(2)))
    waiting.start()
    full.close()
    waiting.join()
    assert answers == [False]
