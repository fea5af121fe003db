"""The computer's side of the serial link; the protocol is described in ports/runner/link.c.

One request is under way at a time. It is repeated until its answer comes, and the board does it at
most once, however often it is repeated; what an answer says of a run is accepted only when the CRCs
of all inputs and of all outputs agree on both sides. So noise, lost bytes and a reset in the middle
cost time or end with a message; they do not change a result.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

from cobs import cobs

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.manifest import Manifest
from thumbnet.tools.board_run import BoardRun, LayerFigures, check_calls
from thumbnet.tools.transport import Transport

PROTOCOL = 1
HELLO, INIT, WRITE, RUN, READ, LAYERS = range(1, 7)
ANSWER = 0x80
OK, UNKNOWN_KIND, BAD_LENGTH, OUT_OF_RANGE, NO_SESSION, WRONG_INPUTS = range(6)

ANSWER_SECONDS = 5.0  # until a request without an answer is given up
RUN_SECONDS = 60.0  # the same of a run, which the board cannot interrupt to say that it lives
REPEAT_SECONDS = 0.5  # between two sendings of one request
LEAST_PAYLOAD = 16  # of a frame; every request but the writing of inputs fits in it
DAMAGES = 3  # times that a call's inputs or outputs may arrive damaged

_HEADER = struct.Struct("<BBHI")
_CRC = struct.Struct("<I")
_GREETING = struct.Struct("<BBBBHHIIII")
_RUN_FIGURES = struct.Struct("<IIII")
_REFUSALS = {
    UNKNOWN_KIND: "does not know this request",
    BAD_LENGTH: "was asked with a payload of the wrong length",
    OUT_OF_RANGE: "was asked for what it does not have",
    WRONG_INPUTS: "got other inputs than were sent",
}


@dataclass(frozen=True)
class Answer:
    """A frame of the board whose CRC is right."""

    kind: int  # of the request
    status: int
    sequence: int
    session: int
    payload: bytes


@dataclass(frozen=True)
class Firmware:
    """What the runner on a board tells of itself. Sizes are bytes."""

    board: str
    model: str
    weights_crc: int
    arena_bytes: int
    stack_bytes: int  # reserved
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    keeps_state: bool
    layers: int  # that are timed; 0 where none is
    hz: int  # of the core
    payload: int  # most bytes in one frame


@dataclass(frozen=True)
class Called:
    """What one run gave."""

    outputs: tuple[bytes, ...]
    cycles: int | None  # None where the board's counter, of 32 bits, may have wrapped
    stack: int  # bytes, of the run or of the initialisation, whichever took more
    intact: bool  # the guards around the arena


class Link:
    """A session with the runner on a board. `name` is how messages call the port.

    Raises ToolError when no answer comes in `answer_seconds`, or what answers is not the runner.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        run_seconds: float = RUN_SECONDS,
        repeat_seconds: float = REPEAT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._clock = clock
        self._transport = transport
        self._answer_seconds, self._run_seconds = answer_seconds, run_seconds
        self._repeat_seconds = repeat_seconds
        self._session = secrets.randbits(32)
        self._sequence = 0
        self._pending = bytearray()  # of a frame that is not whole yet
        self._said = ""  # the last line of text between frames: a fault's report
        self._strange = 0  # bytes that came and were no frame
        self.firmware = self._hello()

    def close(self) -> None:
        self._transport.close()

    def run(
        self, manifest: Manifest, calls: Sequence[Sequence[bytes]], *, profile: bool = False
    ) -> BoardRun:
        """Runs `calls` (the raw bytes of every input), state carried over from call to call.

        Raises ToolError where the board fails or falls silent, DataError for inputs of the wrong
        size.
        """
        check_calls(manifest, calls)
        if profile and self.firmware.layers != len(manifest.layers):
            raise ToolError(
                f"the firmware on {self.firmware.board} does not time layers; build it with "
                "'thumbnet firmware' and flash it again"
            )
        self.start()
        ran = [self.call(call) for call in calls]
        return BoardRun(
            outputs=tuple(each.outputs for each in ran),
            instructions=None,
            cycles=ran[-1].cycles,
            layers=self._layers(manifest) if profile else None,
            stack_bytes=max(each.stack for each in ran),
            init_stack_bytes=0,
            canaries_ok=all(each.intact for each in ran),
        )

    def start(self) -> None:
        """Fills the arena anew and sets up the state that is kept between calls."""
        self._request(INIT)

    def call(self, inputs: Sequence[bytes]) -> Called:
        """Runs the model once on the raw bytes of every input. Raises ToolError."""
        crc = 0
        for data in inputs:
            crc = crc32(data, crc)
        for _ in range(DAMAGES):
            for index, data in enumerate(inputs):
                self._write(index, data)
            began = self._clock()
            answer = self._answer(RUN, _CRC.pack(crc), self._run_seconds)
            seconds = self._clock() - began
            if answer.status != WRONG_INPUTS:
                break
        else:
            raise ToolError(f"{self.name}: inputs arrived damaged {DAMAGES} times; check the cable")
        self._check(answer)
        cycles, stack, intact, outputs_crc = self._unpacked(_RUN_FIGURES, answer.payload)
        may_have_wrapped = seconds * self.firmware.hz >= 1 << 32
        counted = None if may_have_wrapped else cycles
        return Called(self._outputs(outputs_crc), counted, stack, bool(intact))

    # ---- requests ------------------------------------------------------------------------------

    def _hello(self) -> Firmware:
        payload = self._request(HELLO, bytes([PROTOCOL]))
        try:
            (protocol, inputs, outputs, state, most, layers, hz, crc, arena, stack) = (
                _GREETING.unpack_from(payload)
            )
            sizes = struct.unpack_from(f"<{inputs + outputs}I", payload, _GREETING.size)
            texts = payload[_GREETING.size + 4 * len(sizes) :].split(b"\0")
            board, model = (_printable(text.decode("ascii")) for text in texts[:2])
        except (struct.error, ValueError) as error:
            raise ToolError(
                f"{self.name}: what answers is not the runner of this version of Thumbnet; build "
                "its firmware anew and flash it"
            ) from error
        if protocol != PROTOCOL or most < LEAST_PAYLOAD:
            raise ToolError(
                f"{self.name}: the board speaks version {protocol} of the link, this is version "
                f"{PROTOCOL}; build its firmware anew and flash it"
            )
        sides = sizes[:inputs], sizes[inputs:]
        return Firmware(board, model, crc, arena, stack, *sides, bool(state), layers, hz, most)

    def _write(self, index: int, data: bytes) -> None:
        room = self.firmware.payload - 8
        for offset in range(0, len(data), room):
            self._request(WRITE, struct.pack("<II", index, offset) + data[offset : offset + room])

    def _outputs(self, crc: int) -> tuple[bytes, ...]:
        for _ in range(DAMAGES):
            found = tuple(self._read(i, size) for i, size in enumerate(self.firmware.outputs))
            if crc32(b"".join(found)) == crc:
                return found
        raise ToolError(f"{self.name}: outputs arrived damaged {DAMAGES} times; check the cable")

    def _read(self, index: int, size: int) -> bytes:
        found = b""
        while len(found) < size:
            count = min(self.firmware.payload, size - len(found))
            got = self._request(READ, struct.pack("<III", index, len(found), count))
            if len(got) != count:
                raise ToolError(f"{self.name}: {len(got)} bytes of an output came, not {count}")
            found += got
        return found

    def _layers(self, manifest: Manifest) -> tuple[LayerFigures, ...]:
        cycles: list[int] = []
        while len(cycles) < len(manifest.layers):
            count = min(self.firmware.payload // 4, len(manifest.layers) - len(cycles))
            got = self._request(LAYERS, struct.pack("<II", len(cycles), count))
            cycles += self._unpacked(struct.Struct(f"<{count}I"), got)
        return tuple(
            LayerFigures(layer.symbol, None, each)
            for layer, each in zip(manifest.layers, cycles, strict=True)
        )

    def _unpacked(self, form: struct.Struct, payload: bytes) -> tuple[int, ...]:
        try:
            return form.unpack(payload)
        except struct.error as error:
            raise ToolError(f"{self.name}: an answer has the wrong length") from error

    def _request(self, kind: int, payload: bytes = b"") -> bytes:
        """The payload of the answer. Raises ToolError where the board refuses."""
        answer = self._answer(kind, payload, self._answer_seconds)
        self._check(answer)
        return answer.payload

    def _check(self, answer: Answer) -> None:
        if answer.status != OK:
            why = _REFUSALS.get(answer.status, f"refuses with status {answer.status}")
            raise ToolError(f"{self.name}: the board {why}; build its firmware anew and flash it")

    # ---- frames --------------------------------------------------------------------------------

    def _answer(self, kind: int, payload: bytes, seconds: float) -> Answer:
        """Sends a request until it is answered."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        body = _HEADER.pack(kind, 0, self._sequence, self._session) + payload
        frame = b"\0" + cobs.encode(body + _CRC.pack(crc32(body))) + b"\0"
        end = self._clock() + seconds
        while (now := self._clock()) < end:
            self._transport.write(frame)
            again = min(end, now + self._repeat_seconds)
            while (left := again - self._clock()) > 0:
                for answer in self._frames(self._transport.read(left)):
                    if answer.status == NO_SESSION and answer.session == self._session:
                        raise ToolError(
                            f"{self.name}: the board was reset in the middle{self._report()}; run "
                            "the command again"
                        )
                    asked = (kind, self._sequence, self._session)
                    if (answer.kind, answer.sequence, answer.session) == asked:
                        return answer
        raise ToolError(self._silence(kind, seconds))

    def _frames(self, data: bytes) -> list[Answer]:
        """The whole frames among all that came, `data` being the newest of it."""
        self._pending += data
        *chunks, rest = bytes(self._pending).split(b"\0")
        self._pending = bytearray(rest[-4096:])
        found = []
        for chunk in filter(None, chunks):
            answer = _decoded(chunk)
            if answer is not None:
                found.append(answer)
            else:
                self._strange += len(chunk)
                self._listen(chunk)
        return found

    def _listen(self, chunk: bytes) -> None:
        for line in chunk.decode("ascii", "replace").splitlines():
            if "thumbnet: " in line:
                self._said = _printable(line[line.index("thumbnet: ") :].strip())

    def _report(self) -> str:
        self._listen(bytes(self._pending))
        return f" (it said: {self._said})" if self._said else ""

    def _silence(self, kind: int, seconds: float) -> str:
        text = f"{self.name}: no answer in {seconds:g} s{self._report()}"
        strange = self._strange + len(self._pending)
        if kind == RUN:
            return f"{text}: the model needs longer on this board, or the board is gone"
        if kind != HELLO:
            return f"{text}: is the board still plugged in and powered?"
        heard = f"; {strange} bytes came that are not of Thumbnet" if strange else ""
        return (
            f"{text}{heard}: is this the board's port, and Thumbnet's runner on it? 'thumbnet "
            "firmware MODEL --board B -o F.elf' builds it, 'thumbnet flash F.elf --board B' puts "
            "it there"
        )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _decoded(chunk: bytes) -> Answer | None:
    """The frame whose COBS is `chunk`; None where it is none."""
    try:
        body = cobs.decode(chunk)
    except cobs.DecodeError:
        return None
    if len(body) < _HEADER.size + _CRC.size:
        return None
    body, crc = body[: -_CRC.size], body[-_CRC.size :]
    if _CRC.pack(crc32(body)) != crc:
        return None
    kind, status, sequence, session = _HEADER.unpack_from(body)
    if not kind & ANSWER:
        return None
    return Answer(kind & ~ANSWER, status, sequence, session, body[_HEADER.size :])
