"""The lock-out: waits that grow, and an attempt that counts even where the power is cut in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from flash_simulated import WAYS, SimulatedStore, build

LONGEST = 3_600_000


@pytest.fixture(scope="module")
def chip(tmp_path_factory: pytest.TempPathFactory) -> SimulatedStore:
    return build(tmp_path_factory.mktemp("flash"), "small pages")


@pytest.fixture
def lock(chip: SimulatedStore) -> SimulatedStore:
    chip.power()
    chip.new()
    start(chip, 0)
    return chip


def start(lock: SimulatedStore, now: int) -> None:
    """A reset."""
    lock.open()
    lock.c.tn_lock_start(lock.lock, lock.store, now)


def attempt(lock: SimulatedStore, now: int, matched: int) -> int:
    """-1: not now; else whether it opened."""
    if lock.c.tn_lock_left(lock.lock, now):
        return -1
    assert lock.c.tn_lock_try(lock.lock, lock.store, now) == 0
    return lock.c.tn_lock_decide(lock.lock, lock.store, matched)


def test_the_wait_doubles_up_to_an_hour(lock: SimulatedStore) -> None:
    waits = [lock.c.tn_lock_wait(failures) for failures in range(16)]
    assert waits[:8] == [0, 0, 0, 0, 0, 30_000, 60_000, 120_000]
    assert all(b == min(2 * a, LONGEST) for a, b in zip(waits[5:], waits[6:], strict=False))
    assert waits[-1] == lock.c.tn_lock_wait(2**32 - 1) == LONGEST


def test_who_keeps_trying_waits(lock: SimulatedStore) -> None:
    """A day of trying whenever it is allowed, with a reset before each try."""
    now, tries = 0, 0
    while now < 86_400_000:
        start(lock, now)
        now += lock.c.tn_lock_left(lock.lock, now)
        assert attempt(lock, now, 0) == 0
        tries += 1
    assert tries < 5 + 8 + 24
    assert attempt(lock, now, 1) == -1
    assert attempt(lock, now + LONGEST, 1) == 1
    assert lock.store.failures == 0
    assert [attempt(lock, now + LONGEST, 0) for _ in range(6)] == [0] * 5 + [-1]


def test_the_clock_may_wrap(lock: SimulatedStore) -> None:
    now = 2**32 - 10_000
    for _ in range(5):
        attempt(lock, now, 0)
    assert lock.c.tn_lock_left(lock.lock, (now + 29_999) % 2**32) == 1
    assert lock.c.tn_lock_left(lock.lock, (now + 30_000) % 2**32) == 0


@pytest.mark.parametrize("matched", [0, 1])
@pytest.mark.parametrize("way", WAYS)
def test_a_cut_in_an_attempt_never_helps(lock: SimulatedStore, way: str, matched: int) -> None:
    """Unless the bolt was about to open, the attempt is counted or was not made."""
    for _ in range(3):
        attempt(lock, 0, 0)
    before = lock.chip()
    count, cut = 0, True
    while cut:
        lock.put_chip(before)
        start(lock, 0)
        lock.power(count, way)
        tried = lock.c.tn_lock_try(lock.lock, lock.store, 0) == 0
        opened = tried and lock.c.tn_lock_decide(lock.lock, lock.store, matched)
        cut = lock.c.simulated_dead()
        lock.power()
        start(lock, 0)
        allowed = {0, 4} if opened else {4} if tried else {3, 4}
        assert lock.store.failures in allowed, count
        count += 1
    assert count > 3


def test_no_attempt_without_flash(lock: SimulatedStore) -> None:
    lock.power(0)
    assert lock.c.tn_lock_try(lock.lock, lock.store, 0) == -1


@pytest.mark.parametrize(("shape", "least"), [("nrf52840", 5_000_000), ("stm32h743", 40_000_000)])
def test_the_flash_outlasts_the_door(tmp_path: Path, shape: str, least: int) -> None:
    """Attempts that open, with eight users of 64 dimensions, until a page has been erased as often
    as its data sheet allows: firmware/README.md has these figures."""
    lock = build(tmp_path, shape)
    start(lock, 0)
    for user in range(8):
        assert lock.put(user, user, dimensions=64) == 0
    begun, attempts = lock.c.simulated_erasures(), 0
    while lock.c.simulated_erasures() < begun + 4 * lock.pages:
        assert attempt(lock, 0, 1) == 1
        attempts += 1
    assert attempts / 4 * lock.endurance > least
