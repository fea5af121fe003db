"""Architectures from files: our own JSON, and the published configurations of MCUNet, ProxylessNAS
and Once-for-All.

Those are the `config` of `ProxylessNASNets` in the authors' repositories (github.com/mit-han-lab:
mcunet, proxylessnas, once-for-all) as JSON: a first convolution, blocks of a `mobile_inverted_conv`
and a `shortcut`, an optional 1x1 convolution `feature_mix_layer`, a dense `classifier`, and a
`resolution`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thumbnet.codegen.errors import ModelFormatError, UnsupportedError
from thumbnet.nas.architecture import (
    ACTIVATIONS,
    FORMAT,
    Architecture,
    Bottleneck,
    Pair,
    Stem,
    checked,
    from_json,
)
from thumbnet.nas.search_space import SQUEEZE_RATIO, make_divisible

MOST_BYTES = 1 << 20  # of a file
MOST_BLOCKS = 256
MOST = 1 << 16  # of any number
_NOTHING = "ZeroLayer"


def load_architecture(path: Path) -> Architecture:
    """The architecture of a JSON file of either kind. Raises ModelFormatError, or UnsupportedError
    for what a published configuration may hold and an `Architecture` may not."""
    top = _read(path)
    source = path.name
    if not isinstance(top, dict):
        raise ModelFormatError(f"{source}: expected a JSON object")
    blocks = top.get("blocks")
    if isinstance(blocks, list) and len(blocks) > MOST_BLOCKS:
        raise ModelFormatError(f"{source}: {len(blocks)} blocks, at most {MOST_BLOCKS} are read")
    if top.get("format") == FORMAT:
        return from_json(top, source)
    if "first_conv" in top:
        return published(top, source)
    raise ModelFormatError(
        f"{source}: no architecture: it has neither 'format' \"{FORMAT}\" nor the 'first_conv', "
        "'blocks' and 'classifier' of a configuration of MCUNet, ProxylessNAS or Once-for-All"
    )


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelFormatError(f"{path}: no architecture: more than {MOST_BYTES} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFormatError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, numbers of 5000 digits
        said = str(error).splitlines()[0][:200]
        raise ModelFormatError(f"{path}: not a JSON file: {said}") from error


def published(top: Mapping[str, Any], source: str) -> Architecture:
    """The architecture of a published configuration; `source` names it in messages.

    Blocks whose `mobile_inverted_conv` is null or a ZeroLayer only pass their input on and are left
    out. Raises ModelFormatError and UnsupportedError.
    """
    first = _object(top, "first_conv", source)
    where = f"{source}: first_conv"
    activations = {_activation(first, where)}
    stem = Stem(
        _number(first, "out_channels", where), _pair(first, "kernel_size", where),
        _pair(first, "stride", where, 1),
    )  # fmt: skip
    channels, blocks = stem.channels, []
    listed = top.get("blocks")
    if not isinstance(listed, list):
        raise ModelFormatError(f"{source}: 'blocks' is missing or no list")
    for i, entry in enumerate(listed):
        where = f"{source}: block {i}"
        if not isinstance(entry, dict):
            raise ModelFormatError(f"{where}: expected a JSON object")
        block, activation = _block(entry, channels, where)
        if block is not None:
            blocks.append(block)
            activations.add(activation)
            channels = block.channels
    head = 0
    if top.get("feature_mix_layer") is not None:
        where = f"{source}: feature_mix_layer"
        mix = _object(top, "feature_mix_layer", source)
        _expect(mix, "in_channels", channels, where)
        _expect(mix, "kernel_size", 1, where)
        _expect(mix, "stride", 1, where)
        activations.add(_activation(mix, where))
        channels = head = _number(mix, "out_channels", where)
    classifier = _object(top, "classifier", source)
    _expect(classifier, "in_features", channels, f"{source}: classifier")
    if len(activations) > 1:
        raise UnsupportedError(
            f"{source}: it mixes activations ({', '.join(sorted(activations))}); an architecture "
            "has one"
        )
    made = Architecture(
        input_shape=(*_pair(top, "resolution", source), _number(first, "in_channels", where, 3)),
        stem=stem,
        blocks=tuple(blocks),
        head=head,
        classes=_number(classifier, "out_features", f"{source}: classifier"),
        activation=activations.pop(),
    )
    return checked(made, source)


def _block(entry: Mapping[str, Any], channels: int, where: str) -> tuple[Bottleneck | None, str]:
    """A block whose input has `channels`, and its activation; None for one that does nothing."""
    convolution = _layer(entry, "mobile_inverted_conv", where)
    shortcut = _layer(entry, "shortcut", where)
    if convolution is None:
        return None, ""
    where = f"{where}: mobile_inverted_conv"
    _expect(convolution, "in_channels", channels, where)
    expansion = convolution.get("expand_ratio", 6)
    if isinstance(expansion, bool) or not isinstance(expansion, int | float):
        raise ModelFormatError(f"{where}: 'expand_ratio' is {expansion!r}, expected a number")
    if not 0 < expansion <= MOST:
        raise ModelFormatError(f"{where}: 'expand_ratio' is {expansion}, expected 1 to {MOST}")
    expanded = 0
    if expansion != 1:
        given = convolution.get("mid_channels") is not None
        expanded = round(channels * expansion)
        expanded = _number(convolution, "mid_channels", where) if given else expanded
        if not 1 <= expanded <= MOST:
            raise ModelFormatError(f"{where}: {expanded} expanded channels, expected 1 to {MOST}")
    squeeze = 0
    if convolution.get("use_se"):
        squeeze = make_divisible((expanded or channels) / SQUEEZE_RATIO, 8)
    block = Bottleneck(
        channels=_number(convolution, "out_channels", where),
        expanded=expanded,
        kernel=_pair(convolution, "kernel_size", where, 3),
        stride=_pair(convolution, "stride", where, 1),
        squeeze=squeeze,
        residual=shortcut is not None,
    )
    return block, _activation(convolution, where)


def _layer(entry: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any] | None:
    """A layer of a block; null and ZeroLayer are none."""
    found = entry.get(key)
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ModelFormatError(f"{where}: '{key}' is no layer, a JSON object or null")
    name = found.get("name")
    known = (_NOTHING, "MBInvertedConvLayer", "IdentityLayer")
    if name not in known:
        raise UnsupportedError(f"{where}: a layer {name!r}; only {', '.join(known)} are read")
    return None if name == _NOTHING else found


# ---- fields ------------------------------------------------------------------------------------


def _object(value: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        raise ModelFormatError(f"{where}: '{key}' is missing or no JSON object")
    return found


def _number(value: Mapping[str, Any], key: str, where: str, default: int | None = None) -> int:
    return _whole(value.get(key, default), key, where)


def _pair(value: Mapping[str, Any], key: str, where: str, default: int | None = None) -> Pair:
    """One number for both axes, or two."""
    found = value.get(key, default)
    if isinstance(found, list) and len(found) == 2:
        return _whole(found[0], key, where), _whole(found[1], key, where)
    size = _whole(found, key, where)
    return size, size


def _whole(found: Any, key: str, where: str) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= MOST:
        shown = repr(found)[:40]
        raise ModelFormatError(f"{where}: '{key}' is {shown}, expected a whole number, 1 to {MOST}")
    return found


def _expect(value: Mapping[str, Any], key: str, expected: int, where: str) -> None:
    """Raises ModelFormatError where the field is there and says something else."""
    found = value.get(key, expected)
    if _whole(found, key, where) != expected:
        raise ModelFormatError(f"{where}: '{key}' is {found}, and {expected} come from before it")


def _activation(value: Mapping[str, Any], where: str) -> str:
    found = value.get("act_func", "relu6")
    if found not in ACTIVATIONS:
        raise UnsupportedError(
            f"{where}: activation {found!r} is not supported; one of {', '.join(ACTIVATIONS)}"
        )
    return str(found)
