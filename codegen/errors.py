"""The error family of Thumbnet: every refusal names its subject and says what to do."""

from __future__ import annotations


class ThumbnetError(Exception):
    """Base of every error that a user can act on.

    `kind` is a stable, machine-readable word (the `error.kind` of `--json`).
    """

    kind = "error"


class ModelFormatError(ThumbnetError):
    """The model file is missing, truncated, malformed or contradicts itself."""

    kind = "model-format"


class UnsupportedError(ThumbnetError):
    """The model is well formed but uses something Thumbnet does not do."""

    kind = "unsupported"


class BudgetError(ThumbnetError):
    """The model does not fit the memory that was given."""

    kind = "budget"


class DataError(ThumbnetError):
    """An input array has the wrong shape, type or values, or cannot be read."""

    kind = "data"


class ToolError(ThumbnetError):
    """A compiler, an emulator or a board is missing or failed."""

    kind = "tool"


class ScheduleError(ThumbnetError):
    """The schedule checker refuted a schedule: a defect of Thumbnet, never of the model."""

    kind = "schedule"
