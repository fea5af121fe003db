"""`python -m thumbnet.apps.person look|firmware`: whether someone is before the camera.

The network is a public one that the user brings: TFLite Micro's person_detect, or MLPerf Tiny's
visual wake words. Camera, crop and row-fed input are those of the face lock (`apps/camera`).
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.camera.eye import LINK_ROWS, Eye, HostEye, make_eye
from thumbnet.apps.camera.frames import CAMERAS, DEFAULT_CAMERA, Camera, camera_frame
from thumbnet.apps.camera.pictures import centre_square, pictures_of, read_colours
from thumbnet.apps.command import ended
from thumbnet.codegen.errors import ModelFormatError, ToolError

NAME = "person"
_FIRMWARE = Path(__file__).resolve().parent / "firmware"
_READY = struct.Struct("<i")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    parsed = _parser().parse_args(arguments)
    run = {"look": _look, "firmware": _firmware}[parsed.command]
    return ended(NAME, lambda: run(parsed), as_json=getattr(parsed, "json", False))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m thumbnet.apps.person", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    look = commands.add_parser("look", help="shows pictures to the network")
    look.add_argument("pictures", nargs="+", type=Path, help="files or folders")
    look.add_argument("--on", default="host", help="host, an emulated board, or a board's port")
    look.add_argument("--json", action="store_true", help="one JSON object on stdout")
    built = commands.add_parser("firmware", help="an image of a board")
    built.add_argument("--board", required=True, help="a name that 'thumbnet boards' lists")
    built.add_argument("--driver", type=Path, metavar="CAMERA.c", help="what camera.h asks for")
    built.add_argument("-o", "--out", type=Path, required=True, metavar="F.elf")
    for command in (look, built):
        command.add_argument("--model", type=Path, required=True, metavar="FILE.tflite")
        command.add_argument("--camera", choices=CAMERAS, default=DEFAULT_CAMERA)
    return parser


def person_eye(
    network: Path,
    camera: Camera,
    target: str,
    work_dir: Path | None = None,
    driver: Path | None = None,
) -> Eye:
    """All C for a target. Raises ModelFormatError where the network does not give probabilities of
    nobody and somebody, and other ThumbnetErrors."""
    if not network.is_file():
        raise ModelFormatError(f"{network}: there is no network; give a .tflite file")
    sources = sorted(_FIRMWARE.glob("*.[ch]"))
    eye = make_eye(network, NAME, camera, sources, target, work_dir, driver=driver)
    result = eye.manifest.outputs[0]
    if (result.bytes, result.scale, result.zero_point) != (2, 1 / 256, -128):
        raise ModelFormatError(
            f"{network}: it gives {list(result.shape)}, scale {result.scale}, zero point "
            f"{result.zero_point}; two probabilities are asked for, nobody and somebody"
        )
    return eye


def look_on_board(
    network: Path, frames: NDArray[np.uint8], camera: Camera, on: str, work_dir: Path | None = None
) -> Iterator[NDArray[np.int8]]:
    """What the network says, int8 [2], of each of frames [n, height, row bytes], on an emulated
    board or one at a port. Raises ThumbnetError."""
    from thumbnet.apps.board import check_firmware, linked_board
    from thumbnet.codegen.targets import board

    with linked_board(
        on,
        lambda there: person_eye(network, camera, there.target.name).build((), there, work_dir),
        NAME,
        work_dir=work_dir,
    ) as link:
        eye = person_eye(network, camera, board(link.firmware.board).target.name, work_dir)
        check_firmware(link, f"{NAME} {eye.text}", eye.manifest.weights_crc, NAME)
        link.start()
        for frame in frames:
            ready = 0
            for top in range(0, len(frame), LINK_ROWS):
                rows = frame[top : top + LINK_ROWS]
                asked = struct.pack("<II", top == 0, len(rows)) + rows.tobytes()
                (said,) = link.call([asked.ljust(link.firmware.inputs[0], b"\0")]).outputs
                (ready,) = _READY.unpack_from(said)
                if ready:
                    yield np.frombuffer(said, np.int8, eye.outputs, _READY.size)
                    break
            if not ready:
                raise ToolError(f"{link.name}: the whole frame was sent, and there is no answer")


def _look(parsed: argparse.Namespace) -> int:
    camera = CAMERAS[parsed.camera]
    paths = pictures_of(parsed.pictures)
    eye = person_eye(parsed.model, camera, "host")
    pictures = [read_colours(path) for path in paths]
    frames = np.stack(
        [camera_frame(p, centre_square(*p.shape[:2]), camera, eye.window) for p in pictures]
    )
    if parsed.on == "host":
        outputs: Sequence[NDArray[np.int8]] = list(HostEye(eye).look(frames)[0])
    else:
        outputs = list(look_on_board(parsed.model, frames, camera, parsed.on))
    told = []
    for path, output in zip(paths, outputs, strict=True):
        seen = bool(output[1] > output[0])
        score = (int(output[1]) + 128) / 256
        told.append({"picture": str(path), "person": seen, "score": score})
        if not parsed.json:
            print(f"{path}: {'person' if seen else 'nobody'} {score:.2f}")
    if parsed.json:
        print(json.dumps({"on": parsed.on, "pictures": told}))
    return 0


def _firmware(parsed: argparse.Namespace) -> int:
    from thumbnet.codegen.image import FORMATS, write_image
    from thumbnet.codegen.targets import board

    if parsed.out.suffix.lower() not in FORMATS:
        raise ToolError(f"'{parsed.out}' does not end in {', '.join(FORMATS)}")
    on = board(parsed.board)
    eye = person_eye(parsed.model, CAMERAS[parsed.camera], on.target.name, None, parsed.driver)
    image = eye.build((), on, None)
    write_image(image.elf, parsed.out)
    print(f"wrote {parsed.out}: {image.flash:,} bytes of flash, {image.sram:,} of SRAM")
    return 0


if __name__ == "__main__":
    sys.exit(main())
