"""Published configurations, and the command that tells their costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT, refusal_of, result_of, thumbnet

from thumbnet.codegen.cost import cost as graph_cost
from thumbnet.codegen.errors import ModelFormatError, ThumbnetError, UnsupportedError
from thumbnet.nas.architecture import Architecture, Bottleneck, Stem, macs, parameters
from thumbnet.nas.cost import Deployment, network_cost
from thumbnet.nas.cost_graph import cost_graph
from thumbnet.nas.published import load_architecture

PUBLISHED = ROOT.parent / "shared" / "models" / "mcunet"
# Millions of MACs and parameters: the model list of github.com/mit-han-lab/mcunet (README, 2022);
# its mcunet-in0 to in4 are 10fps, 5fps, 256kb-1mb, 320kb-1mb and 512kb-2mb.
TABLE = {
    "mbv2-w0.35-r144": (23.5, 0.75),
    "proxyless-w0.3-r176": (38.3, 0.75),
    "mcunet-10fps": (6.4, 0.75),
    "mcunet-5fps": (12.8, 0.64),
    "mcunet-256kb-1mb": (67.3, 0.73),
    "mcunet-320kb-1mb": (81.8, 0.74),
    "mcunet-512kb-2mb": (125.9, 1.73),
}
OURS = Architecture(
    (20, 20, 3), Stem(8), (Bottleneck(8, 0), Bottleneck(16, 24, (5, 5), (2, 2), squeeze=8)), 24, 10
)


def layer(inputs: int, outputs: int, **more: Any) -> dict[str, Any]:
    """An inverted bottleneck as the authors write it."""
    return {
        "name": "MBInvertedConvLayer", "in_channels": inputs, "out_channels": outputs,
        "kernel_size": 3, "stride": 1, "expand_ratio": 3, "mid_channels": None,
        "act_func": "relu6", "use_se": False, **more,
    }  # fmt: skip


def block(convolution: Any, shortcut: bool = False) -> dict[str, Any]:
    identity = {"name": "IdentityLayer", "in_channels": [8], "out_channels": [8]}
    return {
        "name": "MobileInvertedResidualBlock",
        "mobile_inverted_conv": convolution,
        "shortcut": identity if shortcut else None,
    }


def configuration() -> dict[str, Any]:
    return {
        "name": "ProxylessNASNets",
        "first_conv": {
            "name": "ConvLayer", "kernel_size": 3, "stride": 2, "in_channels": 3,
            "out_channels": 8, "act_func": "relu6", "use_bn": True,
        },
        "blocks": [
            block(layer(8, 8, expand_ratio=1), shortcut=True),
            block({"name": "ZeroLayer", "stride": 1}, shortcut=True),
            block(None, shortcut=True),
            block(layer(8, 16, kernel_size=7, stride=2, mid_channels=40, expand_ratio=5)),
            block(layer(16, 16, kernel_size=5, use_se=True), shortcut=True),
        ],
        "feature_mix_layer": {
            "name": "ConvLayer", "kernel_size": 1, "in_channels": 16, "out_channels": 32,
            "act_func": "relu6",
        },
        "classifier": {"name": "LinearLayer", "in_features": 32, "out_features": 10},
        "resolution": 24,
    }  # fmt: skip


def written(folder: Path, value: Any) -> Path:
    path = folder / "arch.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


# ---- what is read ----------------------------------------------------------------------------


def test_a_configuration_is_read_as_its_authors_mean_it(tmp_path: Path) -> None:
    """Blocks that do nothing are left out; a ratio of 1 means no first 1x1."""
    assert load_architecture(written(tmp_path, configuration())) == Architecture(
        input_shape=(24, 24, 3),
        stem=Stem(8, (3, 3), (2, 2)),
        blocks=(
            Bottleneck(8, 0, residual=True),
            Bottleneck(16, 40, (7, 7), (2, 2)),
            Bottleneck(16, 48, (5, 5), squeeze=16, residual=True),
        ),
        head=32,
        classes=10,
    )


def test_our_own_format_is_read(tmp_path: Path) -> None:
    assert load_architecture(written(tmp_path, OURS.to_json())) == OURS


def test_a_configuration_may_leave_out_what_has_a_default(tmp_path: Path) -> None:
    value = configuration()
    del value["feature_mix_layer"]
    value["classifier"]["in_features"] = 16
    for key in ("kernel_size", "stride", "mid_channels", "act_func", "use_se"):
        del value["blocks"][0]["mobile_inverted_conv"][key]
    found = load_architecture(written(tmp_path, value))
    assert (found.head, found.activation) == (0, "relu6")
    assert found.blocks[0] == Bottleneck(8, 0, residual=True)


@pytest.mark.parametrize("name", TABLE)
def test_macs_and_parameters_are_the_published_ones(name: str) -> None:
    path = PUBLISHED / f"{name}_imagenet.json"
    if not path.is_file():
        pytest.skip("../shared/models/mcunet is not here")
    architecture = load_architecture(path)
    million_macs, million_parameters = TABLE[name]
    # two or three digits are published: within 1 %, or what rounds to them
    assert abs(macs(architecture) / 1e6 - million_macs) <= max(0.01 * million_macs, 0.05)
    assert abs(parameters(architecture) / 1e6 - million_parameters) <= 0.01 * million_parameters


@pytest.mark.parametrize("name", ["mcunet-10fps", "mcunet-5fps"])
def test_the_page_tells_our_figures(name: str) -> None:
    path = PUBLISHED / f"{name}_imagenet.json"
    if not path.is_file():
        pytest.skip("../shared/models/mcunet is not here")
    architecture = load_architecture(path)
    whole = network_cost(architecture)
    rows = network_cost(architecture, Deployment(input="rows"))
    lines = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {name} |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == f"{whole.macs / 1e6:.1f} M" and cells[2] == f"{whole.params / 1e6:.3f} M"
    assert cells[4] == f"{whole.arena_bytes / 1e3:.1f} kB"
    assert cells[5] == f"{rows.arena_bytes / 1e3:.1f} kB"
    assert cells[7] == f"{whole.flash / 1e3:.0f} kB"


# ---- what is refused -------------------------------------------------------------------------

Edit = Callable[[dict[str, Any]], object]
REFUSED: dict[str, tuple[Edit, str]] = {
    "no blocks": (lambda c: c.pop("blocks"), "'blocks'"),
    "blocks of text": (lambda c: c.update(blocks="many"), "'blocks'"),
    "a block of numbers": (lambda c: c.update(blocks=[1]), "block 0"),
    "too many blocks": (lambda c: c.update(blocks=[block(None)] * 300), "300 blocks"),
    "no resolution": (lambda c: c.pop("resolution"), "'resolution' is None"),
    "a huge resolution": (lambda c: c.update(resolution=10**9), "'resolution'"),
    "a resolution of nothing": (lambda c: c.update(resolution=0), "'resolution'"),
    "no classifier": (lambda c: c.update(classifier=None), "'classifier'"),
    "a true kernel": (lambda c: c["first_conv"].update(kernel_size=True), "'kernel_size'"),
    "half a channel": (lambda c: c["first_conv"].update(out_channels=8.5), "'out_channels'"),
    "a ratio of text": (lambda c: conv(c).update(expand_ratio="3"), "'expand_ratio'"),
    "a ratio of nan": (lambda c: conv(c).update(expand_ratio=float("nan")), "'expand_ratio'"),
    "a huge ratio": (lambda c: conv(c).update(expand_ratio=1e300), "'expand_ratio'"),
    "no channels": (lambda c: conv(c).update(expand_ratio=0.01), "0 expanded"),
    "other channels": (lambda c: conv(c).update(in_channels=9), "'in_channels' is 9, and 8"),
    "another classifier": (lambda c: c["classifier"].update(in_features=31), "'in_features'"),
    "an impossible shortcut": (
        lambda c: c["blocks"][3].update(shortcut={"name": "IdentityLayer"}), "block 1 adds"
    ),
    "a shortcut of text": (lambda c: c["blocks"][3].update(shortcut="yes"), "block 3"),
    "too small an image": (lambda c: c.update(resolution=[1, 1]), ""),
}  # fmt: skip


def conv(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = value["blocks"][3]["mobile_inverted_conv"]
    found["mid_channels"] = None
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_what_contradicts_itself_is_refused(name: str, tmp_path: Path) -> None:
    edit, said = REFUSED[name]
    value = configuration()
    edit(value)
    if not said:
        assert load_architecture(written(tmp_path, value)).input_shape == (1, 1, 3)
        return
    with pytest.raises(ModelFormatError, match=r"arch\.json") as refused:
        load_architecture(written(tmp_path, value))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda c: conv(c).update(act_func="h_swish"), "'h_swish'"),
        (lambda c: conv(c).update(act_func=["relu6"]), "['relu6']"),
        (lambda c: conv(c).update(act_func="relu"), "mixes activations"),
        (lambda c: conv(c).update(name="ConvLayer"), "'ConvLayer'"),
    ],
)
def test_what_an_architecture_cannot_hold_is_refused(edit: Edit, said: str, tmp_path: Path) -> None:
    value = configuration()
    edit(value)
    with pytest.raises(UnsupportedError) as refused:
        load_architecture(written(tmp_path, value))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", '"x"', "{}", '{"format": "thumbnet-architecture-9"}',
        "[" * 100_000, json.dumps(OURS.to_json())[:-20], "9" * 5000, '{"blocks": []}',
        " " * (1 << 21), '{"format": "thumbnet-architecture-1", "blocks": {}}',
    ],
)  # fmt: skip
def test_what_is_no_architecture_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match=r"arch\.json"):
        load_architecture(written(tmp_path, text))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    (tmp_path / "folder.json").mkdir()
    for name in ("bytes.json", "folder.json", "none.json"):
        with pytest.raises(ModelFormatError, match=name):
            load_architecture(tmp_path / name)


def test_any_value_in_any_place_is_read_or_refused(tmp_path: Path) -> None:
    """No configuration gives a traceback."""
    for wrong in (None, True, -1, 0, 1 << 40, 1.5, "x", [], [[]], {}, float("inf")):
        for place in places(configuration()):
            value: Any = configuration()
            at = value
            for key in place[:-1]:
                at = at[key]
            at[place[-1]] = wrong
            try:
                load_architecture(written(tmp_path, value))
            except ThumbnetError as error:
                assert "arch.json" in str(error)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    return [(*at, key) for key, _ in entries] + [
        place for key, held in entries for place in places(held, (*at, key))
    ]


# ---- the command -----------------------------------------------------------------------------

NO_TORCH = """raise ImportError("no torch here")"""


@pytest.mark.parametrize("value", [OURS.to_json(), configuration()], ids=["ours", "published"])
def test_the_command_tells_the_cost(value: Any, tmp_path: Path) -> None:
    """Without torch, with the fields of a model file."""
    path = written(tmp_path, value)
    (tmp_path / "torch.py").write_text(NO_TORCH)
    without = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    said = result_of(thumbnet(tmp_path, "cost", path, "--json", env=without))
    architecture = load_architecture(path)
    told = network_cost(architecture)
    assert said == {
        "model": "arch",
        "target": "cortex-m4",
        "macs": macs(architecture),
        "params": parameters(architecture),
        "arena_bytes": told.arena_bytes,
        "flash": {
            "code": told.code_bytes,
            "weights": told.weights_bytes,
            "total": told.flash,
        },
        "cycles": told.cycles,
        "forms": graph_cost(cost_graph(architecture)).forms,
    }


def test_the_command_takes_every_choice(tmp_path: Path) -> None:
    path = written(tmp_path, OURS.to_json())
    words = ("--target", "cortex-m0", "--optimize", "latency", "--input", "rows")
    said = result_of(thumbnet(tmp_path, "cost", path, "--json", *words))
    told = network_cost(OURS, Deployment("cortex-m0", "latency", "rows"))
    assert (said["arena_bytes"], said["cycles"]) == (told.arena_bytes, told.cycles)
    assert said["flash"]["total"] == told.flash
    stepped = result_of(thumbnet(tmp_path, "cost", path, "--json", "--max-step-cycles", "30000"))
    assert stepped["cycles"] > network_cost(OURS).cycles
    text = thumbnet(tmp_path, "cost", path, "--target", "host").stdout
    assert f"{network_cost(OURS).arena_bytes:,}" in text


def test_the_command_refuses(tmp_path: Path) -> None:
    path = written(tmp_path, OURS.to_json())
    kind, message = refusal_of(thumbnet(tmp_path, "cost", path, "--json", "--max-sram", "1K"))
    assert kind == "budget" and "arch.json" in message and "1024" in message
    kind, _ = refusal_of(thumbnet(tmp_path, "cost", path, "--json", "--max-flash", "9K"))
    assert kind == "budget"
    kind, message = refusal_of(thumbnet(tmp_path, "cost", path, "--json", "--input", "stream"))
    assert kind == "unsupported" and "pads along time" in message
    kind, message = refusal_of(thumbnet(tmp_path, "cost", tmp_path / "no.json", "--json"))
    assert kind == "model-format" and "no.json" in message
