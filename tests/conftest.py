"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

TOY = Path(__file__).parent / "tools" / "data" / "toy"

MakeToy = Callable[..., Path]


@pytest.fixture(scope="session")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build cache for the session."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def make_toy(tmp_path: Path) -> MakeToy:
    """Copies the toy model; `hook` is C that is put into its last layer, `edit` old -> new text."""

    def make(hook: str = "", edit: tuple[str, str] | None = None) -> Path:
        folder = tmp_path / f"toy {len(list(tmp_path.iterdir()))}, a copy"
        shutil.copytree(TOY, folder)
        source = folder / "toy.c"
        text = source.read_text().replace("/* HOOK */", hook)
        source.write_text(text.replace(*edit) if edit else text)
        return folder

    return make


@pytest.fixture
def arm() -> None:
    """Skips where there is no Arm compiler."""
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")


@pytest.fixture
def qemu(arm: None) -> None:
    """Skips where there is no Arm compiler or no emulator."""
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("qemu-system-arm is not installed")
