"""A keyword network of random weights in a folder, as `export` writes one, and sound for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from streaming_networks import TimeNet

from thumbnet.apps.kws.features import BANDS, COLUMNS, SCALE, ZERO_POINT
from thumbnet.apps.kws.model_files import Facts, write_facts

WORDS = ("down", "left", "right", "up")


def write_standin(folder: Path, *, classes: int = len(WORDS) + 2, bands: int = BANDS) -> Path:
    """The folder, with kws.tflite and kws.json."""
    net = TimeNet(11)
    x = net.model.input((1, COLUMNS, bands, 1), "int8", SCALE, ZERO_POINT)
    x = net.reshape(x, (1, COLUMNS, 1, bands))
    x = net.conv(x, 16, 3)
    skip = net.crop(x, 2, net.shape(x)[1] - 4)
    x = net.add(net.conv(net.conv(x, 0, 5, depthwise=True), 16, 1), skip)
    x = net.dense(net.mean(x, 1, 2), classes)
    net.model.output(net.softmax(x))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kws.tflite").write_bytes(net.model.build())
    write_facts(folder, Facts(WORDS, "nothing", 0, 0, 0.0, ("b.wav", "d.wav"), ("c.wav",)))
    return folder


def sound(seconds: float, seed: int = 1) -> NDArray[np.int16]:
    """Tones that glide, in noise of changing level."""
    random = np.random.default_rng(seed)
    count = round(seconds * 16000)
    knots = round(seconds * 2) + 2
    at = np.linspace(0, knots - 1, count)
    pitch = np.interp(at, np.arange(knots), random.uniform(80, 3000, knots))
    level = np.interp(at, np.arange(knots), random.uniform(0, 9000, knots))
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / 16000)
    return (level * (tone + 0.2 * random.normal(size=count))).clip(-32768, 32767).astype(np.int16)


def settings_text(smoothing: int = 4, refractory: int = 25, threshold: float = 0.25) -> str:
    return json.dumps(
        {"smoothing": smoothing, "refractory": refractory, "threshold": threshold, "chosen": "here"}
    )
