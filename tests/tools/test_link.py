"""The serial link: over a good wire, over thousands of bad ones, and with strangers at its end."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pytest
from cobs import cobs
from link_wire import INPUTS, LAYERS, OUTPUTS, Faults, Wire, build_board, model

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.manifest import EdgeEntry, LayerEntry, Manifest
from thumbnet.tools import link as protocol
from thumbnet.tools.link import Link

GOOD = Faults()
MILD = Faults(drop=2e-4, flip=2e-4, insert=2e-4, lose=0.02, repeat=0.05, cut=0.02, late=0.05)
ROUGH = Faults(drop=2e-3, flip=2e-3, insert=2e-3, lose=0.1, repeat=0.2, cut=0.1, late=0.2)
RESETS = Faults(drop=1e-3, flip=1e-3, insert=1e-3, repeat=0.1, late=0.1, reset=0.01)


def edge(name: str, size: int) -> EdgeEntry:
    return EdgeEntry(name, name, "int8", (size,), size, 0, 1.0, 0, False)


MANIFEST = Manifest(
    thumbnet="", name="counting", model="counting.tflite", target="cortex-m4",
    optimize="balanced", macs=0, arena_bytes=567, arena_lower_bound=0, peak_layer="",
    weights_bytes=0, weights_crc=0xC0FFEE00, code_bytes=None, stack_bytes=None, compiler=None,
    flags=(), state=True, row_fed=False, stepper=False, longest_step_cycles=None,
    inputs=tuple(edge(f"in{i}", size) for i, size in enumerate(INPUTS)),
    outputs=tuple(edge(f"out{i}", size) for i, size in enumerate(OUTPUTS)),
    layers=tuple(LayerEntry(f"layer_{i}", f"{i}", "ADD", 0, 0) for i in range(LAYERS)),
    sources=(), headers=(),
)  # fmt: skip


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return build_board(tmp_path_factory.mktemp("link"))


def drawn_calls(seed: int, count: int) -> list[list[bytes]]:
    rng = np.random.default_rng(seed)
    kinds = [rng.bytes, bytes, lambda n: b"\xff" * n, lambda n: rng.bytes(n).replace(b"\0", b"\1")]
    return [[kinds[int(rng.integers(4))](size) for size in INPUTS] for _ in range(count)]


def expected(calls: Sequence[Sequence[bytes]]) -> tuple[tuple[bytes, ...], ...]:
    return tuple(model(i + 1, *call) for i, call in enumerate(calls))


def opened(wire: Wire) -> Link:
    return Link(wire, "/dev/ttyTEST", clock=wire.clock)


# ---- a good wire -------------------------------------------------------------------------------


def test_a_good_wire_gives_outputs_and_figures(board: ctypes.CDLL) -> None:
    wire = Wire(board, GOOD, 0)
    link = opened(wire)
    calls = drawn_calls(0, 3)
    found = link.run(MANIFEST, calls, profile=True)
    assert found.outputs == expected(calls)
    assert (found.cycles, found.stack_bytes, found.canaries_ok) == (123459, 96, True)
    assert found.layers is not None
    assert [each.cycles for each in found.layers] == [3000 + i for i in range(LAYERS)]
    told = link.firmware
    assert (told.board, told.model, told.hz) == ("nucleo-f446re", "counting", 168_000_000)
    assert (told.inputs, told.outputs, told.weights_crc) == (INPUTS, OUTPUTS, 0xC0FFEE00)
    assert (told.arena_bytes, told.keeps_state) == (567, True)
    assert link.run(MANIFEST, calls[:1]).outputs == expected(calls[:1])  # the state begins anew


def test_more_requests_than_sequence_numbers(board: ctypes.CDLL) -> None:
    link = opened(Wire(board, GOOD, 0))
    link._sequence = 0xFFF0 - 1  # as after so many requests; the board is told by a new session
    link._session ^= 1
    link._hello()
    calls = drawn_calls(1, 12)
    assert link.run(MANIFEST, calls).outputs == expected(calls)


def test_frames_of_every_length(board: ctypes.CDLL) -> None:
    """An input is written in pieces whose COBS has blocks of all lengths up to 254."""
    link = opened(Wire(board, GOOD, 0))
    for size in range(249):
        for fill in (b"\0", b"\7"):
            link._write(0, fill * size)
    with pytest.raises(ToolError, match="does not have"):
        link._write(1, bytes(6))


# ---- bad wires ---------------------------------------------------------------------------------


def attempt(board: ctypes.CDLL, faults: Faults, seed: int) -> bool:
    """Whether a run came through; its outputs are right then. Checks the time-outs."""
    wire = Wire(board, faults, seed)
    calls = drawn_calls(seed, 2)
    began = [0.0]
    answer = Link._answer

    class Timed(Link):
        def _answer(self, kind: int, payload: bytes, seconds: float) -> protocol.Answer:
            began[0] = wire.now
            try:
                return answer(self, kind, payload, seconds)
            finally:
                assert wire.now - began[0] <= seconds + 0.1

    try:
        found = Timed(wire, "wire", clock=wire.clock).run(MANIFEST, calls)
    except ToolError as error:
        assert str(error).startswith("wire: ")
        return False
    assert found.outputs == expected(calls)
    return True


@pytest.mark.parametrize("block", range(5))
def test_mild_faults_change_nothing(board: ctypes.CDLL, block: int) -> None:
    assert all(attempt(board, MILD, seed) for seed in range(block * 200, block * 200 + 200))


@pytest.mark.parametrize("block", range(5))
def test_rough_faults_never_give_a_wrong_result(board: ctypes.CDLL, block: int) -> None:
    came = [attempt(board, ROUGH, seed) for seed in range(block * 200, block * 200 + 200)]
    assert sum(came) > 20


@pytest.mark.parametrize("block", range(5))
def test_resets_never_give_a_wrong_result(board: ctypes.CDLL, block: int) -> None:
    came = [attempt(board, RESETS, seed) for seed in range(block * 200, block * 200 + 200)]
    assert 20 < sum(came) < 180


@pytest.mark.slow
@pytest.mark.parametrize("block", range(60))
def test_many_wires(board: ctypes.CDLL, block: int) -> None:
    rng = np.random.default_rng(block)
    for seed in range(1000):
        bytes_, pieces = 10 ** rng.uniform(-5, -2, 3), rng.uniform(0, 0.3, 4)
        reset = rng.choice([0, 0, 0.01, 0.1])
        attempt(board, Faults(*bytes_, *pieces, reset), 10_000 + 1000 * block + seed)


def test_a_request_is_done_once_however_often_it_comes(board: ctypes.CDLL) -> None:
    """Every piece comes twice, both ways; the model counts its runs."""
    link = opened(Wire(board, Faults(repeat=1), 0))
    calls = drawn_calls(2, 5)
    assert link.run(MANIFEST, calls).outputs == expected(calls)


def test_an_arena_that_was_left_is_told(board: ctypes.CDLL) -> None:
    link = opened(Wire(board, GOOD, 0))
    board.board_be_intact(0)
    try:
        assert not link.run(MANIFEST, drawn_calls(0, 2)).canaries_ok
    finally:
        board.board_be_intact(1)


def test_an_echo_is_not_answered(board: ctypes.CDLL) -> None:
    """An adapter with one line for both ways gives the board its own answers back."""
    wire = Wire(board, GOOD, 0)
    link = opened(wire)
    link._request(protocol.INIT)
    body = (
        bytes([protocol.INIT | protocol.ANSWER, 0]) + b"\2\0" + link._session.to_bytes(4, "little")
    )
    wire._give(b"\0" + cobs.encode(body + crc32(body).to_bytes(4, "little")) + b"\0")
    assert wire._taken() == b""


def test_a_board_that_knows_only_the_beginning_says_so(board: ctypes.CDLL) -> None:
    """It was reset, and the greeting came once more."""
    wire = Wire(board, GOOD, 0)
    link = opened(wire)
    link._sequence = 40
    with pytest.raises(ToolError, match="was reset in the middle"):
        link.start()


def test_cycles_that_may_have_wrapped_are_not_told(board: ctypes.CDLL) -> None:
    wire = Wire(board, GOOD, 0)
    link = opened(wire)
    assert link.run(MANIFEST, drawn_calls(0, 1)).cycles is not None
    object.__setattr__(link.firmware, "hz", 1 << 40)
    assert link.run(MANIFEST, drawn_calls(0, 1)).cycles is None


# ---- what goes wrong, in words -----------------------------------------------------------------


def test_a_reset_in_the_middle_is_told(board: ctypes.CDLL) -> None:
    wire = Wire(board, GOOD, 0)
    link = opened(wire)
    wire.reset()
    with pytest.raises(ToolError, match="was reset in the middle; run the command again"):
        link.run(MANIFEST, drawn_calls(0, 1))


def test_a_fault_on_the_board_is_quoted(board: ctypes.CDLL) -> None:
    wire = Wire(board, GOOD, 0)
    link = opened(wire)
    board.board_crash_in(1)
    with pytest.raises(ToolError, match=r"reset in the middle \(it said: thumbnet: stack overflow"):
        link.run(MANIFEST, drawn_calls(0, 2))


class Stranger:
    """A transport at whose end something else talks."""

    def __init__(self, says: bytes, answers: bytes = b"") -> None:
        self.now, self._coming, self._answers = 0.0, says, answers

    def clock(self) -> float:
        return self.now

    def write(self, data: bytes) -> None:
        self._coming += self._answers

    def read(self, timeout: float) -> bytes:
        got, self._coming = self._coming, b""
        self.now += 0.01 if got else timeout
        return got

    def close(self) -> None:
        pass


def refusal(stranger: Stranger) -> str:
    with pytest.raises(ToolError) as caught:
        Link(stranger, "COM3", clock=stranger.clock)
    assert stranger.now <= protocol.ANSWER_SECONDS + 0.5
    return str(caught.value)


def test_silence_and_strangers() -> None:
    text = refusal(Stranger(b""))
    assert "COM3: no answer in 5 s: is this the board's port" in text and "thumbnet flash" in text
    text = refusal(Stranger(b"login: ", b"$ "))
    assert "bytes came that are not of Thumbnet" in text
    text = refusal(Stranger(np.random.default_rng(0).bytes(100_000)))
    assert "bytes came that are not of Thumbnet" in text
    text = refusal(Stranger(b"thumbnet: fault: exception 3 pc 0x08000100\n"))
    assert "(it said: thumbnet: fault: exception 3 pc 0x08000100)" in text


class Answering(Stranger):
    """Answers HELLO with a payload, each time."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(b"")
        self._payload = payload

    def write(self, data: bytes) -> None:
        header = cobs.decode(data.strip(b"\0"))[:8]
        body = bytes([header[0] | 0x80, 0]) + header[2:] + self._payload
        self._coming += b"\0" + cobs.encode(body + crc32(body).to_bytes(4, "little")) + b"\0"


@pytest.mark.parametrize("cut", [0, 10, 24, 30])
def test_a_runner_that_says_too_little(board: ctypes.CDLL, cut: int) -> None:
    payload = opened(Wire(board, GOOD, 0))._request(protocol.HELLO)[:cut]
    assert "not the runner of this version" in refusal(Answering(payload))


@pytest.mark.parametrize("payload", [0, 4, 8, 15])
def test_frames_too_small_to_work_with(board: ctypes.CDLL, payload: int) -> None:
    told = opened(Wire(board, GOOD, 0))._request(protocol.HELLO)
    hello = told[:4] + payload.to_bytes(2, "little") + told[6:]
    assert "speaks version" in refusal(Answering(hello))


def test_what_a_board_says_is_made_printable() -> None:
    text = refusal(Stranger(b"thumbnet: \x1b]0;owned\x07\x1b[2J fault\n"))
    assert "\x1b" not in text and "\x07" not in text and "?]0;owned" in text


def test_another_version_of_the_protocol(board: ctypes.CDLL) -> None:
    payload = opened(Wire(board, GOOD, 0))._request(protocol.HELLO)
    assert "speaks version 9 of the link" in refusal(Answering(b"\x09" + payload[1:]))


def test_an_echo_is_no_answer(board: ctypes.CDLL) -> None:
    class Echo(Stranger):
        def write(self, data: bytes) -> None:
            self._coming += data

    assert "no answer in 5 s" in refusal(Echo(b""))


def test_layers_that_are_not_timed_are_refused(board: ctypes.CDLL) -> None:
    link = opened(Wire(board, GOOD, 0))
    object.__setattr__(link.firmware, "layers", 0)
    with pytest.raises(ToolError, match="does not time layers"):
        link.run(MANIFEST, drawn_calls(0, 1), profile=True)
