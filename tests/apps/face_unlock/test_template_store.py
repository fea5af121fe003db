"""The template store: what it keeps, and what it keeps when the power is cut at any operation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from flash_simulated import FULL, NONE, OK, SHAPES, WAYS, SimulatedStore, build

Change = Callable[[SimulatedStore], int]


@pytest.fixture(scope="module", params=SHAPES)
def chip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return build(tmp_path_factory.mktemp("flash"), request.param)


@pytest.fixture
def store(chip: SimulatedStore) -> SimulatedStore:
    chip.power()
    chip.new()
    return chip


def after_reset(store: SimulatedStore) -> bytes:
    store.open()
    return store.stored()


# --- what it keeps --------------------------------------------------------------------------------


def test_what_was_stored_is_there_after_a_reset(store: SimulatedStore) -> None:
    empty = store.stored()
    assert after_reset(store) == empty
    assert store.put(0, 1) == store.put(3, 2) == store.failures(4) == OK
    kept = store.stored()
    assert b"user 1" in kept and b"user 2" in kept and kept.endswith(b"\4\0\0\0")
    assert after_reset(store) == kept
    assert store.put(0, 5) == OK
    assert b"user 1" not in store.stored() and b"user 5" in after_reset(store)
    assert store.remove(0) == store.remove(3) == store.failures(0) == OK
    assert after_reset(store) == empty
    assert store.remove(0) == store.remove(8) == store.put(8, 1) == NONE
    assert store.c.simulated_twice() == 0


def test_random_histories(store: SimulatedStore) -> None:
    """Against a dictionary, with resets, until every area was erased many times."""
    random = np.random.default_rng(0)
    users: dict[int, int] = {}
    failures = 0
    for step in range(600):
        user, what = int(random.integers(5)), random.random()
        if what < 0.1:
            assert store.put(user, step) == OK
            users[user] = step
        elif what < 0.2:
            assert store.remove(user) == (OK if user in users else NONE)
            users.pop(user, None)
        else:
            failures = step
            assert store.failures(failures) == OK
        if what > 0.9:
            store.open()
        stored = store.stored()
        names = {b"user %d\0" % number in stored for number in users.values()}
        assert names <= {True} and stored.count(b"user ") == len(users)
        assert int.from_bytes(stored[-4:], "little") == failures
    assert store.c.simulated_twice() == 0
    assert store.c.simulated_erasures() > 20


@pytest.mark.parametrize("fill", [0, 0x5A, 0xFF])
def test_flash_that_holds_anything_is_empty(store: SimulatedStore, fill: int) -> None:
    store.new(0xFF)
    empty = store.stored()
    store.new(fill)
    assert store.stored() == empty
    assert store.put(0, 1) == OK
    assert b"user 1" in after_reset(store)
    assert store.c.simulated_twice() == 0


def test_a_full_store_refuses_users_and_still_counts(store: SimulatedStore) -> None:
    statuses = [store.put(user, user) for user in range(8)]
    assert set(statuses) <= {OK, FULL}
    kept = store.stored()
    for count in range(200):
        assert store.failures(count) == OK
    assert after_reset(store)[:-4] == kept[:-4]


def test_removed_templates_leave_no_copy(store: SimulatedStore) -> None:
    for number in range(3):
        store.put(number, number)
    assert store.remove(1) == OK and store.put(2, 7) == OK
    memory = store.chip().tobytes()
    assert b"user 0" in memory and b"user 7" in memory
    assert b"user 1" not in memory and b"user 2" not in memory


def test_a_word_that_breaks_costs_nothing(store: SimulatedStore) -> None:
    store.put(0, 1)
    area = store.store.area
    at = area * store.area_bytes + store.store.end
    store.c.simulated_breaks(at // store.word_bytes)
    assert store.put(1, 2) == OK
    store.c.simulated_breaks(-1)
    stored = after_reset(store)
    assert b"user 1" in stored and b"user 2" in stored and store.store.area != area


# --- power cuts -----------------------------------------------------------------------------------


def fill(store: SimulatedStore) -> None:
    """Until the next record has no room in its area."""
    area = store.store.area
    while True:
        before = store.chip()
        assert store.failures(3) == OK
        if store.store.area != area:
            store.put_chip(before)
            store.open()
            return


CHANGES: dict[str, tuple[Change, bool]] = {
    "the first user": (lambda s: s.put(0, 1), False),
    "another user": (lambda s: s.put(4, 9), False),
    "a user anew": (lambda s: s.put(0, 9), False),
    "one user less": (lambda s: s.remove(1), False),
    "a failure": (lambda s: s.failures(7), False),
    "another user, no room left": (lambda s: s.put(4, 9), True),
    "a failure, no room left": (lambda s: s.failures(7), True),
}


def prepare(store: SimulatedStore, name: str) -> tuple[bytes, bytes]:
    """Makes the flash as it is before the change; what is stored before and after it."""
    change, full = CHANGES[name]
    if name != "the first user":
        assert store.put(0, 1) == store.put(1, 2) == store.failures(2) == OK
    if full:
        fill(store)
    before, old = store.chip(), store.stored()
    store.power()
    assert change(store) == OK
    new = after_reset(store)
    assert old != new
    store.put_chip(before)
    store.open()
    return old, new


def cuts(store: SimulatedStore, act: Change) -> Iterator[tuple[int, str]]:
    """Starts and does `act` again and again on the same flash, the power cut at each operation of
    both in each way; the flash is then as that left it, and the power on again."""
    before = store.chip()
    died = True
    for count in itertools.count():
        if not died:
            break
        died = False
        for way in WAYS:
            store.put_chip(before)
            store.power(count, way)
            store.open()
            act(store)
            if store.c.simulated_dead():
                died = True
                store.power()
                yield count, way
    store.put_chip(before)


@pytest.mark.parametrize("name", CHANGES)
def test_a_power_cut_leaves_the_old_or_the_new(store: SimulatedStore, name: str) -> None:
    """And what comes after it works."""
    old, new = prepare(store, name)
    found = set()
    for where in cuts(store, CHANGES[name][0]):
        state = after_reset(store)
        assert state in (old, new), where
        found.add(state)
        assert after_reset(store) == state, where
        twice = store.c.simulated_twice()
        assert store.put(6, 77) == store.failures(33) == OK, where
        assert where[1] == "invisible" or store.c.simulated_twice() == twice, where
        stored = after_reset(store)
        assert b"user 77" in stored and stored.endswith(b"\x21\0\0\0"), where
        assert stored.count(b"user ") == state.count(b"user ") + 1, where
        for number in (78, 79):
            assert store.put(6, number) == OK, where
            assert b"user %d" % number in after_reset(store), where
    assert found == {old, new}


@pytest.mark.parametrize("name", CHANGES)
def test_a_second_cut_while_the_first_is_repaired(store: SimulatedStore, name: str) -> None:
    """The power is cut in the change, and again in the reset or the failure counted after it."""
    old, new = prepare(store, name)
    for first in cuts(store, CHANGES[name][0]):
        torn = store.chip()
        state = after_reset(store)
        counted = state[:-4] + b"\x21\0\0\0"
        store.put_chip(torn)
        for second in cuts(store, lambda s: s.failures(33)):
            found = after_reset(store)
            assert state in (old, new) and found in (state, counted), (first, second)
        store.power()
