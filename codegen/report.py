"""report.html: one self-contained page that shows where the memory goes."""

from __future__ import annotations

import json
from html import escape
from itertools import groupby

from thumbnet.codegen.kernel import FEED
from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.occupancy import ROLES, peak_steps
from thumbnet.codegen.report_assets import SCRIPT, STYLE
from thumbnet.codegen.report_picture import (
    HEIGHT,
    ROLE_NAMES,
    WIDTH,
    Axis,
    Picture,
    arena_drawing,
    byte_ticks,
    drawing,
    live_drawing,
    make_axis,
    make_picture,
    shape_words,
    short_bytes,
    stage_drawing,
    stage_words,
)
from thumbnet.codegen.schedule import Schedule, Stage

_RIGHTS_FIRST = 3  # columns of the table of layers that are text
