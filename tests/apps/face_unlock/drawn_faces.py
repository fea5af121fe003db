"""Faces drawn by code: people who differ in build, and pictures of one that differ in light."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 92, 112
_SCALE = 4  # drawn larger, then shrunk: smooth edges


def drawn_face(person: int, take: int) -> NDArray[np.uint8]:
    """Picture `take` of a person in grey, uint8 [HEIGHT, WIDTH]."""
    build = np.random.default_rng((person, 1))
    light = np.random.default_rng((person, take, 2))
    skin, hair, wall = build.uniform(110, 220), build.uniform(10, 90), light.uniform(40, 230)
    wide, tall = build.uniform(28, 38), build.uniform(40, 50)
    apart, eye = build.uniform(11, 19), build.uniform(2.5, 6)
    eyes, mouth = build.uniform(-14, -5), build.uniform(18, 30)
    lips, nose, fringe = build.uniform(6, 17), build.uniform(6, 16), build.uniform(-38, -24)
    beard, glasses = build.random() < 0.4, build.random() < 0.4
    x, y = np.array([WIDTH, HEIGHT]) / 2 + light.uniform(-3, 3, 2)
    image = Image.new("L", (WIDTH * _SCALE, HEIGHT * _SCALE), int(wall))
    draw = ImageDraw.Draw(image)

    def oval(middle: float, level: float, across: float, down: float, grey: float) -> None:
        box = (middle - across, level - down, middle + across, level + down)
        draw.ellipse([edge * _SCALE for edge in box], int(grey))

    oval(x, y - 6, wide + 4, tall + 4, hair)
    oval(x, y, wide, tall, skin)
    if beard:
        oval(x, y + mouth, wide * 0.7, 14, hair)
    draw.rectangle([n * _SCALE for n in (x - wide, y - tall - 8, x + wide, y + fringe)], int(hair))
    for side in (-apart, apart):
        if glasses:
            oval(x + side, y + eyes, 10, 9, 30)
            oval(x + side, y + eyes, 8, 7, skin)
        oval(x + side, y + eyes, eye, eye * 0.7, 245)
        oval(x + side, y + eyes, eye * 0.5, eye * 0.5, 20)
    oval(x, y + nose / 2, 3, nose / 2, skin * 0.75)
    oval(x, y + mouth, lips, light.uniform(1.5, 4), 70)
    small = np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.float64)
    lit = small * light.uniform(0.7, 1.15) + light.uniform(-20, 20)
    return (lit + light.normal(0, 3, lit.shape)).clip(0, 255).astype(np.uint8)


def make_folder(folder: Path, people: int, takes: int, first: int = 0) -> Path:
    """FOLDER/person-N/take-M.png of people from number `first` on."""
    for person in range(first, first + people):
        own = folder / f"person-{person:03}"
        own.mkdir(parents=True)
        for take in range(takes):
            Image.fromarray(drawn_face(person, take)).save(own / f"take-{take}.png")
    return folder
