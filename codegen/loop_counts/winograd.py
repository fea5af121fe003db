"""CONV_2D by Winograd: tn_winograd_conv_2d.h."""

from __future__ import annotations

from thumbnet.codegen.loop_counts.work import Work


def winograd_conv_2d(work: Work) -> None:
    """By rows of tiles, pairs of tiles and blocks of four output channels."""
    tile, in_c, in_w, out_w, out_c = work.numbers("tile", "in_c", "in_w", "out_w", "out_c")
    lines = tile + 2
    positions = lines * lines
    rows = sum(n * -(-height // tile) for height, n in work.heights.items())
    pairs = rows * -(-out_w // (2 * tile))
    blocks = pairs * -(-out_c // 4)
    columns = -(-out_w // tile) * tile + 2
    beside = columns - min(in_w, columns - min(columns, work.number("pad_left")))
    form = f"winograd_{tile}"
    work.add(f"{form}.row", rows)
    work.add(f"{form}.row.ring", rows if work.in_ring else 0)
    work.add(f"{form}.column", rows * (columns - beside) * in_c // 4)
    work.add("winograd.fill", rows * (in_w * in_c // 4 + lines * beside * in_c // 2))
    work.add(f"{form}.line", pairs * 2 * lines)
    work.add(f"{form}.line.word", pairs * 2 * lines * in_c // 2)
    work.add(f"{form}.block", blocks)
    work.add("winograd.position", blocks * positions)
    work.add("winograd.turn", blocks * positions * -(-(in_c // 2 - 1) // 8))
    work.add("winograd.pair", blocks * positions * in_c // 2)
    stored = work.rows * out_w
    work.add("winograd.store.row", work.rows * -(-out_w // (2 * tile)) * -(-out_c // 4))
    work.add("winograd.store", stored * -(-out_c // 4))
    work.add("winograd.store.clamp", stored * -(-out_c // 4) if work.clamps else 0)
    work.add("winograd.store.rest", stored * (out_c % 4))
