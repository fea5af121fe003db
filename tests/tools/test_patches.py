"""The bounds on patches and strips of docs/memory.md, on chains that are computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sample_models import SAMPLES

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.planner import Mode, plan
from thumbnet.tools.patches import (
    FEW_EXTRA,
    Comparison,
    compare,
    layer_peaks,
    main,
    partitions,
    patches,
    pieces,
)
from thumbnet.tools.random_graphs import Net
from thumbnet.tools.tiles import COLUMNS, ROWS, extra_macs, network, spans


def chain() -> Graph:
    """8 x 8, a 3 x 3 convolution, and one of stride 2 that pads below and right only."""
    net = Net(0)
    x = net.conv(net.input(1, 8, 8, 1), 4, (3, 3))
    return net.graph("chain", net.conv(x, 2, (3, 3), (2, 2)))


def twins() -> Graph:
    """8 x 8 x 1, 8 x 8 x 4, 8 x 8 x 1; both convolutions cost the same."""
    net = Net(0)
    x = net.conv(net.input(1, 8, 8, 1), 4, (3, 3))
    return net.graph("twins", net.conv(x, 1, (3, 3)))


def inverted(size: int = 24) -> Graph:
    """Two inverted residual blocks, the second with its skip connection, and a head."""
    net = Net(1)
    x = net.conv(net.input(1, size, size, 3), 8, (3, 3), (2, 2))
    for skip in (False, True):
        y = net.depthwise(net.conv(x, 48), 3)
        y = net.conv(y, 8, activation="NONE")
        x = net.binary("ADD", x, y) if skip else y
    return net.graph("inverted", net.dense(net.mean(x), 4))


@pytest.fixture(scope="module")
def compared() -> list[Comparison]:
    return compare(inverted())


@pytest.mark.parametrize("axis", [ROWS, COLUMNS])
def test_tiles_need_their_receptive_field(axis: int) -> None:
    net = network(chain())
    found = spans(net, 0, 2, 2, axis)
    wanted = {  # the last tile's receptive field ends in the padding: 9 of 8
        net.output: ([0, 2], [2, 4]),
        net.cuts[1]: ([0, 4], [5, 8]),
        net.image: ([0, 3], [6, 8]),
    }
    assert {v: (a.tolist(), b.tolist()) for v, (a, b) in found.items()} == wanted


def test_the_halo_is_what_is_computed_again() -> None:
    """The first layer computes 9 columns for 8: 1/8 of its 2304 MACs."""
    net = network(chain())
    assert extra_macs(net, 0, 2, 1, 2) == pytest.approx(288 / (2304 + 1152))
    assert extra_macs(net, 0, 2, 2, 2) == pytest.approx(2304 * (81 / 64 - 1) / (2304 + 1152))
    assert extra_macs(net, 0, 1, 4, 4) == 0  # one layer alone


def test_extra_work_grows_with_the_tiles() -> None:
    net = network(inverted())
    end = max(end for end in net.cuts if all(net.can_tile(i) for i in range(end)))
    found = [extra_macs(net, 0, end, tiles, tiles) for tiles in range(1, 9)]
    assert found[0] == 0
    assert all(np.diff(found) > 0)


def test_residual_blocks_are_not_cut() -> None:
    net = network(inverted())
    kinds = [kernel.kind for kernel in net.flow.kernels]
    add = kinds.index("ADD")
    assert {add - 3, add + 1} <= set(net.cuts) and not {add - 2, add - 1, add} & set(net.cuts)


def test_one_patch_is_layer_by_layer() -> None:
    for graph in (chain(), inverted()):
        net = network(graph)
        by_layers = max(layer_peaks(net, outside=False))
        single = [p for p in patches(net, outside=False) if p.what.startswith("1 x 1,")]
        assert single and {(p.nbytes, p.extra) for p in single} == {(by_layers, 0.0)}
        assert by_layers <= plan(graph, Mode(optimize="size")).lower_bound


def test_patches_by_hand() -> None:
    """Two patches of rows: the second one makes 2 x 4 x 2 bytes beside the first one's 16, with
    nothing of the image but what it reads; the least scratch is one column of 3 x 3 bytes, 12."""
    net = Net(0)
    graph = net.graph("one", net.conv(net.input(1, 4, 4, 1), 2, (3, 3)))
    found = {p.what: p for p in patches(network(graph), outside=False)}
    scratch = 12
    assert found["2 x 1, 1 layers"].nbytes == 16 + 16 + scratch
    # the last of 4: 3 x 8 bytes are made, it reads 2 rows (8 bytes) and makes 8
    assert found["4 x 1, 1 layers"].nbytes == 32 + scratch


def test_strips_by_hand() -> None:
    """While the second layer makes its row 5: two rows of the image, three of what lies between,
    and the output so far; the second layer's least scratch is one column of 3 x 3 x 4 bytes."""
    net = network(twins())
    found = {p.count: p for p in pieces(net, 1 << 20, outside=True) if p.end - p.first == 2}
    one = next(
        p for p in pieces(net, 1 << 20, outside=True)
        if p.end - p.first == 2 and p.count == 1 and p.bound < max(layer_peaks(net, outside=True))
    )  # fmt: skip
    assert one.bound == one.by_rows == 2 * 8 + 3 * 32 + 6 * 8 + 36
    # strips of 4 columns, 5 between, 6 of the image; the first strip's output stands beside it
    assert found[2].bound == 2 * 6 + 3 * 20 + (8 * 4 + 6 * 4) + 36
    assert found[2].by_rows == 2 * 6 + 3 * 20 + 64 + 36
    assert found[2].extra == pytest.approx(0.25 / 2)


def test_rows_that_have_addresses_never_need_less() -> None:
    net = network(inverted())
    for piece in pieces(net, 1 << 20, outside=False):
        assert piece.bound <= piece.by_rows
        assert piece.count > 1 or (piece.bound, piece.extra) == (piece.by_rows, 0)


def test_partitions_trade_work_for_memory() -> None:
    net = network(inverted(48))
    found, end = pieces(net, 1 << 20, outside=True), len(net.flow.kernels)
    plans = [
        partitions(found, end, by_rows=True, most_extra=extra)[0] for extra in (0.0, FEW_EXTRA, 9.0)
    ]
    assert plans[0].nbytes > plans[1].nbytes >= plans[2].nbytes
    assert plans[0].extra == 0 < plans[1].extra <= FEW_EXTRA
    _, chosen = partitions(found, end, by_rows=True, most_extra=9.0)
    assert [p.first for p in chosen] == [0, *(p.end for p in chosen)][:-1]
    assert chosen[-1].end == end


def test_every_figure_is_a_bound_of_the_planner(compared: list[Comparison]) -> None:
    assert [c.image for c in compared] == ["in the arena", "fed once", "read again"]
    for c in compared:
        assert c.bound.nbytes <= c.strips.nbytes and c.rows_bound <= c.rows
        assert c.strips.extra <= FEW_EXTRA
    assert compared[1].patches is None and compared[0].patches is not None
    # what comes once can be cut into strips only after the first stage
    assert compared[2].strips.nbytes <= compared[1].strips.nbytes


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.tflite"
    file.write_bytes(SAMPLES["small_cnn"]().build())
    assert main([str(file), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [r["network"] for r in results] == ["small"] * 3
    assert main([str(file)]) == 0
    assert "small" in capsys.readouterr().out
    assert main([str(tmp_path / "absent.tflite")]) == 1
    assert "absent.tflite" in capsys.readouterr().err


def test_several_inputs_are_refused() -> None:
    net = Net(0)
    graph = net.graph("sum", net.binary("ADD", net.input(1, 4, 4, 2), net.input(1, 4, 4, 2)))
    with pytest.raises(ToolError, match="one input"):
        network(graph)
