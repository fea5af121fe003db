"""Search spaces: which architectures there are to choose from.

A `Template` is a family of spaces, one for each width multiplier, resolution and stride of the
first convolution; stage 1 (`space_optimization`) takes one of them. Inside a `SearchSpace` the
channels of stages are fixed and every bottleneck chooses kernel and expansion, every stage its
depth. That division, and the choices {3, 5, 7}, {3, 4, 6}, are MCUNet's (Lin et al., NeurIPS 2020,
section 3.1) and Once-for-All's (Cai et al., ICLR 2020, section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, product

import numpy as np

from thumbnet.codegen.errors import DataError
from thumbnet.nas.architecture import Architecture, Bottleneck, Pair, Stem, checked

ALL_COLUMNS = 0  # in a template, as the columns of a kernel: as many as are left there
SQUEEZE_RATIO = 4  # expanded channels to squeezed ones (MobileNetV3, ICCV 2019, section 5.3)


@dataclass(frozen=True)
class Stage:
    """Bottlenecks of one number of channels; the first of them has the stride. There may be none
    only where their stride is 1 and the channels are those of what is before."""

    channels: int
    stride: Pair
    depths: tuple[int, ...]  # rising; how many bottlenecks there may be
    kernels: tuple[Pair, ...] = ()  # of this stage only (see ALL_COLUMNS); none: those of the space
    expansions: tuple[int, ...] = ()  # the same; (0,): no first 1x1
    fused: bool = False  # as of architecture.Bottleneck; the expansion is then 0
    pad: bool = True  # the same


@dataclass(frozen=True)
class Choice:
    """What one bottleneck has chosen."""

    kernel: Pair
    expansion: int
    squeeze: bool = False


SubNetwork = tuple[tuple[Choice, ...], ...]  # the bottlenecks of each stage


@dataclass(frozen=True)
class SearchSpace:
    """Channels are final: width multipliers have been applied. `first` is a bottleneck without
    expansion after the stem (MobileNetV2's), 0 for none. Kernels and expansions rise, and each
    kernel lies within the next, so that they can share weights; an expansion of 0, no first 1x1, is
    a stage's only one."""

    name: str
    width: float
    input_shape: tuple[int, int, int]  # height, width, channels
    classes: int
    stem: Stem
    first: int
    stages: tuple[Stage, ...]
    head: int
    kernels: tuple[Pair, ...]
    expansions: tuple[int, ...]
    squeezes: tuple[bool, ...]
    activation: str
    pad_rows: bool

    @cached_property
    def stage_choices(self) -> dict[Stage, tuple[Choice, ...]]:
        """All that a bottleneck of each stage may choose; a fused one has no squeeze."""
        return {
            stage: tuple(
                Choice(*choice)
                for choice in product(
                    stage.kernels or self.kernels,
                    stage.expansions or self.expansions,
                    (False,) if stage.fused else self.squeezes,
                )
            )
            for stage in self.stages
        }

    @property
    def nested_kernels(self) -> tuple[tuple[Pair, ...], ...]:
        """What each bottleneck of the largest network may have, rising."""
        first = ((self.kernels[0],),) if self.first else ()
        stages = ((s.kernels or self.kernels,) * s.depths[-1] for s in self.stages)
        return (*first, *chain.from_iterable(stages))

    @property
    def largest(self) -> SubNetwork:
        return tuple((self.stage_choices[s][-1],) * s.depths[-1] for s in self.stages)

    @property
    def smallest(self) -> SubNetwork:
        return tuple((self.stage_choices[s][0],) * s.depths[0] for s in self.stages)

    @property
    def size(self) -> int:
        """How many sub-networks there are."""
        total = 1
        for stage in self.stages:
            total *= sum(len(self.stage_choices[stage]) ** depth for depth in stage.depths)
        return total

    def architecture(self, chosen: SubNetwork) -> Architecture:
        """The network of these choices."""
        channels, blocks = self.stem.channels, []
        if self.first:
            kernel = self.kernels[0]
            blocks.append(Bottleneck(self.first, 0, kernel, residual=self.first == channels))
            channels = self.first
        for stage, choices in zip(self.stages, chosen, strict=True):
            for i, choice in enumerate(choices):
                stride = stage.stride if i == 0 else (1, 1)
                expanded = channels * choice.expansion
                middle = expanded or channels
                squeeze = make_divisible(middle / SQUEEZE_RATIO, 8) if choice.squeeze else 0
                plain = stage.pad and not stage.fused
                blocks.append(
                    Bottleneck(
                        stage.channels,
                        expanded,
                        choice.kernel,
                        stride,
                        squeeze,
                        residual=plain and channels == stage.channels and stride == (1, 1),
                        fused=stage.fused,
                        pad=stage.pad,
                    )
                )
                channels = stage.channels
        return Architecture(
            self.input_shape,
            self.stem,
            tuple(blocks),
            self.head,
            self.classes,
            self.activation,
            self.pad_rows,
        )


def make_divisible(channels: float, divisor: int) -> int:
    """The multiple of `divisor` next to `channels` that is not below 90 % of it (Sandler et al.'s
    reference code of MobileNetV2, and MCUNet's)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor


# ---- drawing -----------------------------------------------------------------------------------


def sample(space: SearchSpace, rng: np.random.Generator) -> SubNetwork:
    """Uniform over depths, then over choices."""
    return tuple(
        tuple(_choice(space, stage, rng) for _ in range(_depth(stage, rng)))
        for stage in space.stages
    )


def mutate(
    space: SearchSpace, parent: SubNetwork, rate: float, rng: np.random.Generator
) -> SubNetwork:
    """Draws each depth, kernel, expansion and squeeze anew with probability `rate`."""
    child = []
    for stage, choices in zip(space.stages, parent, strict=True):
        depth = _depth(stage, rng) if rng.random() < rate else len(choices)
        kept = [_mutated(space, stage, choice, rate, rng) for choice in choices[:depth]]
        child.append((*kept, *(_choice(space, stage, rng) for _ in range(depth - len(kept)))))
    return tuple(child)


def crossover(a: SubNetwork, b: SubNetwork, rng: np.random.Generator) -> SubNetwork:
    """Each stage's depth from either parent, each bottleneck from either that has it."""
    child = []
    for one, other in zip(a, b, strict=True):
        longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
        depth = len(one) if rng.random() < 0.5 else len(other)
        child.append(
            tuple(
                shorter[i] if i < len(shorter) and rng.random() < 0.5 else longer[i]
                for i in range(depth)
            )
        )
    return tuple(child)


def _depth(stage: Stage, rng: np.random.Generator) -> int:
    return stage.depths[int(rng.integers(len(stage.depths)))]


def _choice(space: SearchSpace, stage: Stage, rng: np.random.Generator) -> Choice:
    choices = space.stage_choices[stage]
    return choices[int(rng.integers(len(choices)))]


def _mutated(
    space: SearchSpace, stage: Stage, choice: Choice, rate: float, rng: np.random.Generator
) -> Choice:
    drawn = _choice(space, stage, rng)
    kernel, expansion, squeeze = rng.random(3) < rate
    return Choice(
        drawn.kernel if kernel else choice.kernel,
        drawn.expansion if expansion else choice.expansion,
        drawn.squeeze if squeeze else choice.squeeze,
    )


# ---- templates ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Template:
    """A family of spaces: channels at width 1.0, to be multiplied by each of `widths` and rounded
    to multiples of `divisor`; square inputs of each of `resolutions` (none: the task's own)."""

    name: str
    stem: int
    stem_kernel: Pair
    stem_strides: tuple[Pair, ...]
    first: int
    stages: tuple[Stage, ...]
    head: int
    widths: tuple[float, ...]
    resolutions: tuple[int, ...]
    kernels: tuple[Pair, ...] = ((3, 3), (5, 5), (7, 7))
    expansions: tuple[int, ...] = (3, 4, 6)
    squeezes: tuple[bool, ...] = (False,)
    divisor: int = 8
    activation: str = "relu6"
    pad_rows: bool = True

    def spaces(self, input_shape: tuple[int, int, int], classes: int) -> Iterator[SearchSpace]:
        """All of them, narrow to wide. `input_shape` (height, width, channels) is the task's own;
        resolutions that are larger than it are left out. Raises DataError where none is left."""
        resolutions = [r for r in self.resolutions if r <= min(input_shape[:2])]
        shapes = [(r, r, input_shape[2]) for r in resolutions]
        if not self.resolutions:
            shapes = [input_shape]
        if not shapes:
            raise DataError(
                f"search space '{self.name}': inputs of {input_shape[0]}x{input_shape[1]} are "
                f"smaller than its least resolution, {min(self.resolutions)}"
            )
        for width, shape, stride in product(self.widths, shapes, self.stem_strides):
            yield self.space(width, shape, stride, classes)

    def space(
        self, width: float, shape: tuple[int, int, int], stride: Pair, classes: int
    ) -> SearchSpace:
        """One of them. Raises ModelFormatError where the input is too small for it."""

        def scaled(channels: int) -> int:
            return make_divisible(channels * width, self.divisor) if channels else 0

        made = SearchSpace(
            name=f"w{width:g}-r{shape[0]}-s{stride[0]}" if shape[0] == shape[1] else f"w{width:g}",
            width=width,
            input_shape=shape,
            classes=classes,
            stem=Stem(scaled(self.stem), self.stem_kernel, stride),
            first=scaled(self.first),
            stages=tuple(self._scaled_stages(scaled, shape[1], stride[1])),
            head=scaled(self.head),
            kernels=self.kernels,
            expansions=self.expansions,
            squeezes=self.squeezes,
            activation=self.activation,
            pad_rows=self.pad_rows,
        )
        checked(made.architecture(made.largest), f"search space '{self.name}' {made.name}")
        return made

    def _scaled_stages(
        self, scaled: Callable[[int], int], columns: int, stride: int
    ) -> Iterator[Stage]:
        """The stages with their channels, and kernels over as many columns as there are."""
        columns = -(-columns // stride)
        for stage in self.stages:
            kernels = tuple((rows, own or columns) for rows, own in stage.kernels)
            yield replace(stage, channels=scaled(stage.channels), kernels=kernels)
            columns = -(-columns // stage.stride[1])


def _stages(*rows: tuple[int, int, tuple[int, ...]]) -> tuple[Stage, ...]:
    return tuple(Stage(channels, (stride, stride), depths) for channels, stride, depths in rows)


# For images of 48 to 224 pixels: the stages of ProxylessNAS and MCUNet (channels of MnasNet-A1's
# kind), widths and resolutions as MCUNet searches them (section 3.1).
IMAGES = Template(
    name="images",
    stem=32,
    stem_kernel=(3, 3),
    stem_strides=((2, 2),),
    first=16,
    stages=_stages(
        (24, 2, (2, 3, 4)),
        (40, 2, (2, 3, 4)),
        (80, 2, (2, 3, 4)),
        (96, 1, (2, 3, 4)),
        (192, 2, (2, 3, 4)),
        (320, 1, (1,)),
    ),
    head=0,
    widths=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    resolutions=(48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224),
)

# For images of some 32 pixels: fewer strides, so that a grid is left to look at; depth from one.
SMALL_IMAGES = Template(
    name="small-images",
    stem=32,
    stem_kernel=(3, 3),
    stem_strides=((1, 1), (2, 2)),
    first=16,
    stages=_stages(
        (24, 1, (1, 2, 3)),
        (40, 2, (1, 2, 3)),
        (80, 2, (1, 2, 3)),
        (96, 1, (1, 2, 3)),
        (192, 2, (1, 2)),
    ),
    head=0,
    widths=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    resolutions=(24, 28, 32),
)

# For spectrograms of some 40 bands, rows being time: nothing pads along time, so that a stream
# computes each column once; two strides of 2 along time, early, so that it takes four columns a
# call and all later layers work half as often. At so few positions expansions do not pay: full
# convolutions come first, the last of them over all of the frequency that is left, then separable
# blocks (no first 1x1) along time.
SPECTROGRAMS = Template(
    name="spectrograms",
    stem=16,
    stem_kernel=(5, 5),
    stem_strides=((2, 4),),
    first=0,
    stages=(
        Stage(32, (2, 2), (1,), kernels=((3, 3), (3, 5)), fused=True),
        Stage(32, (1, 1), (0, 1), kernels=((3, 3), (3, 5))),
        Stage(
            64, (1, 1), (1,), kernels=((1, ALL_COLUMNS), (3, ALL_COLUMNS)), fused=True, pad=False
        ),
        Stage(64, (1, 1), (1, 2, 3), kernels=((3, 1),)),
    ),
    head=0,
    widths=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5),
    resolutions=(),
    expansions=(0,),
    divisor=4,
    activation="relu",
    pad_rows=False,
)

TEMPLATES = {template.name: template for template in (IMAGES, SMALL_IMAGES, SPECTROGRAMS)}
