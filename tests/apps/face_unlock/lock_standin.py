"""A small int8 network that stands in for a trained one, pictures for it, and a lock of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sample_models import SampleNet

from thumbnet.apps.camera.crop import Window
from thumbnet.apps.camera.frames import Camera, camera_frame, camera_window
from thumbnet.apps.face_unlock.unlock import Lock

SIDE, DIMENSIONS = 24, 20
SMALL = Camera(40, 30, True)  # few bytes over an emulated UART, which takes its time for each
THRESHOLD = 32000  # of 32768: the same picture reaches it, another does not


def write_network(folder: Path, seed: int = 7, channels: int = 1) -> Path:
    """An embedding of SIDE x SIDE grey; weights are drawn."""
    net = SampleNet(seed)
    x = net.builder.input((1, SIDE, SIDE, channels), scale=1 / 128, zero_point=0, name="picture")
    x = net.conv(x, 8, 3, 2, activation="RELU6")
    x = net.conv(net.depthwise(x, 3, 2), 12, 1)
    x = net.pool("AVERAGE_POOL_2D", x, 2, 2)
    net.builder.output(net.dense(net.reshape(x, (1, 12 * 3 * 3)), DIMENSIONS))
    path = folder / f"network-{seed}-{channels}.tflite"
    path.write_bytes(net.builder.build())
    return path


def standin_lock(folder: Path, camera: Camera = SMALL, **network: int) -> Lock:
    return Lock(write_network(folder, **network), camera, THRESHOLD)


def picture(number: int) -> NDArray[np.uint8]:
    """A coarse pattern in grey, another for each number."""
    random = np.random.default_rng(number)
    return np.kron(random.integers(0, 256, (7, 7), np.uint8), np.ones((16, 16), np.uint8))


def frame(lock: Lock, number: int) -> NDArray[np.uint8]:
    """A picture before the lock's camera."""
    window = camera_window(lock.camera, SIDE)
    return camera_frame(picture(number), Window(0, 0, 112), lock.camera, window)
