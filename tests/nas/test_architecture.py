"""Architectures: JSON there and back, what is refused, the digest, and what is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from thumbnet.codegen.errors import ModelFormatError
from thumbnet.nas.architecture import (
    Architecture,
    Bottleneck,
    Stem,
    checked,
    from_json,
    macs,
    parameters,
)
from thumbnet.nas.search_space import TEMPLATES, Template, sample

SMALL = Architecture(
    input_shape=(12, 10, 3),
    stem=Stem(8, stride=(2, 1)),
    blocks=(
        Bottleneck(8, 0, residual=True),
        Bottleneck(16, 24, kernel=(5, 3), stride=(1, 2), squeeze=8),
        Bottleneck(16, 48, kernel=(3, 3), residual=True),
    ),
    head=32,
    classes=5,
)


FUSED = Architecture(
    input_shape=(14, 10, 1),
    stem=Stem(4, stride=(1, 2)),
    blocks=(
        Bottleneck(6, 0, (3, 3), (2, 1), fused=True),
        Bottleneck(8, 0, (1, 5), fused=True, pad=False),
        Bottleneck(8, 0, (3, 1), residual=True),
        Bottleneck(8, 16, (3, 1), pad=False),
    ),
    head=0,
    classes=5,
    pad_rows=False,
)


def there_and_back(architecture: Architecture) -> Architecture:
    return from_json(json.loads(json.dumps(architecture.to_json())), "arch.json")


def with_squeezes(template: Template) -> Template:
    return replace(template, squeezes=(False, True), head=4 * template.stem)


def test_json_there_and_back() -> None:
    unpadded = replace(SMALL, input_shape=(30, 10, 3), activation="relu", pad_rows=False, head=0)
    for architecture in (SMALL, unpadded, FUSED):
        assert there_and_back(architecture) == architecture
        assert from_json(architecture.to_json(), "memory") == architecture


@pytest.mark.parametrize("name", TEMPLATES)
def test_sampled_networks_survive_json(name: str) -> None:
    rng = np.random.default_rng(1)
    for space in list(with_squeezes(TEMPLATES[name]).spaces((64, 64, 3), 7))[::5]:
        architecture = space.architecture(sample(space, rng))
        assert there_and_back(architecture) == architecture
        assert there_and_back(architecture).digest == architecture.digest


def test_the_digest_is_the_same_on_every_machine() -> None:
    assert SMALL.digest == "87b9212e9c53f98b"


def test_fused_blocks_and_kernels_without_padding() -> None:
    """Counted by hand: rows 14, 12, 5, 5, 3, 1; columns 10, 5, 5, 1, 1, 1."""
    assert list(FUSED.sizes()) == [(12, 5), (5, 5), (5, 1), (3, 1), (1, 1)]
    stem, full, over_all = 12 * 5 * 9 * 4, 5 * 5 * 9 * 4 * 6, 5 * 5 * 6 * 8
    separable, expanded = 3 * (8 * 3 + 8 * 8), 3 * 8 * 16 + 16 * 3 + 16 * 8
    assert macs(FUSED) == stem + full + over_all + separable + expanded + 8 * 5
    stem, full, over_all = 4 * (9 + 2), 6 * (4 * 9 + 2), 8 * (6 * 5 + 2)
    separable, expanded = 8 * (3 + 2) + 8 * (8 + 2), 16 * 10 + 16 * 5 + 8 * 18
    assert parameters(FUSED) == stem + full + over_all + separable + expanded + 9 * 5


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Bottleneck(4, 0, fused=True, residual=True), "block 0 adds its input, and is fused or"),
        (Bottleneck(4, 0, pad=False, residual=True), "block 0 adds its input, and is fused or"),
        (Bottleneck(4, 8, fused=True), "block 0 is fused, and has 8 expanded and 0 squeezed"),
        (Bottleneck(4, 0, squeeze=8, fused=True), "has 0 expanded and 8 squeezed channels; give 0"),
        (Bottleneck(4, 0, (1, 7), fused=True, pad=False), "no rows left"),
    ],
)
def test_fused_blocks_that_contradict_themselves(block: Bottleneck, message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        there_and_back(replace(FUSED, blocks=(block,)))


@pytest.mark.parametrize(
    "change",
    [
        {"classes": 6},
        {"head": 0},
        {"activation": "relu"},
        {"pad_rows": False},
        {"input_shape": (10, 12, 3)},
        {"stem": Stem(8, kernel=(5, 5), stride=(2, 1))},
        {"blocks": SMALL.blocks[:2]},
        {"blocks": (*SMALL.blocks[:2], replace(SMALL.blocks[2], squeeze=8))},
    ],
    ids=str,
)
def test_whatever_changes_changes_the_digest(change: dict[str, Any]) -> None:
    assert replace(SMALL, **change).digest != SMALL.digest


def edit(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    value = json.loads(json.dumps(SMALL.to_json()))
    change(value)
    return value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format="keras"), "'format' is 'keras', expected 'thumbnet"),
        (lambda v: v.pop("format"), "'format' is None"),
        (lambda v: v.pop("stem"), "arch.json: stem: expected a JSON object"),
        (lambda v: v["stem"].update(channels=0), "stem: 'channels' is 0"),
        (lambda v: v["stem"].update(kernel=[3]), "stem: 'kernel' is [3], expected 2 whole numbers"),
        (lambda v: v.update(blocks={}), "'blocks' is missing or no list"),
        (lambda v: v["blocks"].append(3), "block 3: expected a JSON object"),
        (lambda v: v["blocks"][1].update(expanded=-1), "block 1: 'expanded' is -1"),
        (lambda v: v["blocks"][1].update(expanded=2.5), "block 1: 'expanded' is 2.5"),
        (lambda v: v["blocks"][1].update(channels=True), "block 1: 'channels' is True"),
        (lambda v: v["blocks"][1].update(channels=1 << 30), "whole number from 1 to 65536"),
        (lambda v: v["blocks"][1].update(stride=[0, 1]), "block 1: 'stride' is 0"),
        (lambda v: v["blocks"][1].update(residual=True), "block 1 adds its input of 8 channels"),
        (lambda v: v["blocks"][0].update(residual="false"), "'residual' is 'false', expected true"),
        (lambda v: v["blocks"][2].update(stride=[2, 2]), "needs the same channels and stride 1"),
        (lambda v: v.update(classes=None), "'classes' is None"),
        (lambda v: v.update(input_shape=[12, 10]), "'input_shape' is [12, 10], expected 3"),
        (lambda v: v.update(activation="gelu"), "activation 'gelu' is not one of relu, relu6"),
        (lambda v: v.update(pad_rows=False, input_shape=[4, 10, 3]), "no rows left for all layers"),
    ],
)
def test_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(ModelFormatError) as caught:
        from_json(edit(change), "arch.json")
    assert str(caught.value).startswith("arch.json")
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "arch", 3])
def test_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ModelFormatError, match="expected a JSON object"):
        from_json(value, "arch.json")


def test_checked_gives_the_architecture_itself() -> None:
    assert checked(SMALL, "arch") is SMALL


def test_sizes_follow_strides_and_padding() -> None:
    assert list(SMALL.sizes()) == [(6, 10), (6, 10), (6, 5), (6, 5)]
    unpadded = replace(SMALL, pad_rows=False, input_shape=(30, 10, 3))
    assert list(unpadded.sizes()) == [(14, 10), (12, 10), (8, 5), (6, 5)]


def test_macs_and_parameters_of_a_network_by_hand() -> None:
    stem = 60 * 8 * 9 * 3
    first = 60 * (8 * 9 + 8 * 8)
    second = 60 * 8 * 24 + 30 * 24 * 15 + 2 * 24 * 8 + 30 * 24 * 16
    third = 30 * (16 * 48 + 48 * 9 + 48 * 16)
    assert macs(SMALL) == stem + first + second + third + 30 * 16 * 32 + 32 * 5
    stem = 8 * 27 + 16
    first = 8 * 9 + 16 + 64 + 16
    second = 8 * 24 + 48 + 24 * 15 + 48 + (2 * 24 * 8 + 8 + 24) + 24 * 16 + 32
    third = 16 * 48 + 96 + 48 * 9 + 96 + 48 * 16 + 32
    assert parameters(SMALL) == stem + first + second + third + 16 * 32 + 64 + 32 * 5 + 5


def counted(architecture: Architecture) -> tuple[int, int]:
    """MACs by hooks, and parameters, of the module."""
    torch = pytest.importorskip("torch")
    from thumbnet.nas.network import build

    network = build(architecture).eval()
    total = 0

    def count(module: Any, inputs: Any, output: Any) -> None:
        nonlocal total
        total += module.weight[0].numel() * output.numel()

    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    height, width, channels = architecture.input_shape
    with torch.no_grad():
        logits = network(torch.zeros(1, channels, height, width))
    assert logits.shape == (1, architecture.classes)
    return total, sum(p.numel() for p in network.parameters() if p.requires_grad)


def test_macs_and_parameters_are_those_of_the_module() -> None:
    for architecture in (
        SMALL,
        replace(SMALL, pad_rows=False, input_shape=(33, 17, 1), head=0),
        replace(SMALL, blocks=()),
    ):
        assert (macs(architecture), parameters(architecture)) == counted(architecture)


@pytest.mark.parametrize("name", TEMPLATES)
def test_macs_and_parameters_of_sampled_networks(name: str) -> None:
    rng = np.random.default_rng(2)
    template = with_squeezes(TEMPLATES[name])
    spaces = list(template.spaces((50, 40, 1) if not template.resolutions else (64, 64, 3), 10))
    for space in (spaces[0], spaces[len(spaces) // 2]):
        for _ in range(2):
            architecture = space.architecture(sample(space, rng))
            assert (macs(architecture), parameters(architecture)) == counted(architecture)
