"""The super-network: every sub-network of a search space in one set of shared weights.

Once-for-All's sharing (Cai et al., ICLR 2020, section 3.3): a smaller kernel is the middle of the
next larger one times a matrix that is learnt, one for each layer and pair of sizes; a smaller
expansion takes the first channels; a smaller depth leaves out the last bottlenecks of its stage.
There are no running statistics: in training, batch norms use those of the batch; a sub-network that
is to be used is extracted as a plain `network.Network`, whose statistics are then measured
(`evaluation.recalibrate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from thumbnet.nas.architecture import Bottleneck, Pair
from thumbnet.nas.network import Network, cut_rows, initialise
from thumbnet.nas.search_space import SearchSpace, SubNetwork

EPS = 1e-5  # of batch norms: nn.BatchNorm2d's


class SuperNetwork(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Shared weights of `space`. `norm_samples`: batch norms take the statistics of so many samples
    at a time (Hoffer et al., NeurIPS 2017, "ghost batch norm"), which makes a batch that is spread
    over several processes the same computation as on one; None: of the whole batch."""

    def __init__(self, space: SearchSpace, norm_samples: int | None = None) -> None:
        super().__init__()
        self.space = space
        self.norm_samples = norm_samples
        largest = space.architecture(space.largest)
        self.stem = SharedConvolution(
            largest.stem.channels, largest.input_shape[2], largest.stem.kernel
        )
        channels, self.blocks = largest.stem.channels, nn.ModuleList()
        for block, kernels in zip(largest.blocks, space.nested_kernels, strict=True):
            kind = SharedFused if block.fused else SharedBottleneck
            self.blocks.append(kind(channels, block, kernels))
            channels = block.channels
        self.head = SharedConvolution(largest.head, channels) if largest.head else None
        self.classifier = nn.Linear(largest.head or channels, largest.classes)
        initialise(self)

    def forward(self, x: Tensor, chosen: SubNetwork) -> Tensor:
        """Logits [N, classes] of one sub-network for x [N, C, H, W]."""
        architecture = self.space.architecture(chosen)
        activate = getattr(functional, architecture.activation)
        stem = architecture.stem
        x = functional.conv2d(x, self.stem.weight, None, stem.stride, architecture.padding(stem))
        x = activate(self.stem.norm(x, self.norm_samples))
        for block, shared in zip(architecture.blocks, self._shared(chosen), strict=True):
            padding = architecture.padding(block)
            x = shared(x, block, padding, activate, self.norm_samples)
        if self.head is not None:
            x = functional.conv2d(x, self.head.weight)
            x = activate(self.head.norm(x, self.norm_samples))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits

    def extract(self, chosen: SubNetwork, dropout: float = 0.0) -> Network:
        """A sub-network as a plain module with copies of its weights. Its batch norms know no
        statistics yet: recalibrate them."""
        architecture = self.space.architecture(chosen)
        network = Network(architecture, dropout)
        state = dict(_convolution_state("stem", self.stem.weight, self.stem.norm))
        for i, (block, shared) in enumerate(
            zip(architecture.blocks, self._shared(chosen), strict=True)
        ):
            state.update(shared.state(block, f"blocks.{i}.layers"))
        if self.head is not None:
            state.update(_convolution_state("head", self.head.weight, self.head.norm))
        state["classifier.weight"] = self.classifier.weight
        state["classifier.bias"] = self.classifier.bias
        missing, unexpected = network.load_state_dict(
            {name: value.detach().clone() for name, value in state.items()}, strict=False
        )
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        assert not unexpected and all(name.endswith(statistics) for name in missing)
        return network

    def sort_channels(self) -> None:
        """Orders the expanded channels of each bottleneck by importance, the largest L1 norm of the
        weights that read them first (Once-for-All, section 3.3): what a smaller expansion keeps.
        The function of the largest network stays the same."""
        for shared in self.blocks:
            shared.sort_channels()

    def _shared(self, chosen: SubNetwork) -> list[SharedBottleneck | SharedFused]:
        """The shared bottlenecks that a sub-network uses, in order."""
        used = list(self.blocks[: 1 if self.space.first else 0])
        start = len(used)
        for stage, choices in zip(self.space.stages, chosen, strict=True):
            used += self.blocks[start : start + len(choices)]
            start += stage.depths[-1]
        return used


class SharedNorm(nn.Module):  # type: ignore[misc]
    """Scale and shift of a batch norm over the first of `channels`, by batch statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, samples: int | None) -> Tensor:
        channels = x.shape[1]
        weight, bias = self.weight[:channels], self.bias[:channels]
        groups = x.split(samples) if samples else (x,)
        normed = [
            functional.batch_norm(part, None, None, weight, bias, training=True, eps=EPS)
            for part in groups
        ]
        return torch.cat(normed) if len(normed) > 1 else normed[0]


class SharedConvolution(nn.Module):  # type: ignore[misc]
    """Weights [outputs, inputs, rows, columns] and the batch norm after them."""

    def __init__(self, outputs: int, inputs: int, kernel: Pair = (1, 1)) -> None:
        super().__init__()
        self.weight = _weight(outputs, inputs, kernel)
        self.norm = SharedNorm(outputs)


class SharedBottleneck(nn.Module):  # type: ignore[misc]
    """A bottleneck of any of the nested `kernels` (rising) and any expansion up to the largest."""

    def __init__(self, channels: int, largest: Bottleneck, kernels: Sequence[Pair]) -> None:
        super().__init__()
        middle = largest.expanded or channels
        self.expand = SharedConvolution(middle, channels) if largest.expanded else None
        self.depthwise = SharedConvolution(middle, 1, kernels[-1])
        self.kernels = tuple(kernels)
        self.transforms = _transforms(kernels)
        self.reduce = nn.Conv2d(middle, largest.squeeze, 1) if largest.squeeze else None
        self.excite = nn.Conv2d(largest.squeeze, middle, 1) if largest.squeeze else None
        self.project = SharedConvolution(largest.channels, middle)

    def forward(
        self, x: Tensor, block: Bottleneck, padding: Pair, activate: object, samples: int | None
    ) -> Tensor:
        assert callable(activate)
        y = x
        if self.expand is not None:
            y = functional.conv2d(y, self.expand.weight[: block.expanded])
            y = activate(self.expand.norm(y, samples))
        middle = y.shape[1]
        weight = nested_kernel(
            self.depthwise.weight[:middle], self.kernels, self.transforms, block.kernel
        )
        y = functional.conv2d(y, weight, None, block.stride, padding, groups=middle)
        y = activate(self.depthwise.norm(y, samples))
        if block.squeeze:
            y = y * self._gate(y, block.squeeze)
        y = functional.conv2d(y, self.project.weight[:, :middle])
        y = self.project.norm(y, samples)
        if block.residual:
            y = y + cut_rows(x, block.kernel[0] - 1 - 2 * padding[0])
        return y

    def state(self, block: Bottleneck, prefix: str) -> dict[str, Tensor]:
        """Weights of one choice under the names of `network.InvertedBottleneck`."""
        middle = block.expanded or self.depthwise.weight.shape[0]
        found: dict[str, Tensor] = {}
        if self.expand is not None:
            weight = self.expand.weight[:middle]
            found |= _convolution_state(f"{prefix}.expand", weight, self.expand.norm, middle)
        weight = nested_kernel(
            self.depthwise.weight[:middle], self.kernels, self.transforms, block.kernel
        )
        found |= _convolution_state(f"{prefix}.depthwise", weight, self.depthwise.norm, middle)
        if block.squeeze:
            assert self.reduce is not None and self.excite is not None
            found[f"{prefix}.excite.reduce.weight"] = self.reduce.weight[: block.squeeze, :middle]
            found[f"{prefix}.excite.reduce.bias"] = self.reduce.bias[: block.squeeze]
            found[f"{prefix}.excite.expand.weight"] = self.excite.weight[:middle, : block.squeeze]
            found[f"{prefix}.excite.expand.bias"] = self.excite.bias[:middle]
        weight = self.project.weight[:, :middle]
        found |= _convolution_state(f"{prefix}.project", weight, self.project.norm)
        return found

    def _gate(self, x: Tensor, squeeze: int) -> Tensor:
        assert self.reduce is not None and self.excite is not None
        middle = x.shape[1]
        gate = functional.conv2d(
            x.mean((2, 3), keepdim=True),
            self.reduce.weight[:squeeze, :middle],
            self.reduce.bias[:squeeze],
        )
        gate = functional.conv2d(
            torch.relu(gate), self.excite.weight[:middle, :squeeze], self.excite.bias[:middle]
        )
        return functional.hardsigmoid(gate)

    def sort_channels(self) -> None:
        """See `SuperNetwork.sort_channels`."""
        if self.expand is None:
            return  # its channels are those of the block before
        order = self.project.weight.detach().abs().sum((0, 2, 3)).argsort(descending=True)
        with torch.no_grad():
            by_row = [self.expand.weight, self.depthwise.weight]
            for norm in (self.expand.norm, self.depthwise.norm):
                by_row += [norm.weight, norm.bias]
            by_column = [self.project.weight]
            if self.reduce is not None and self.excite is not None:
                by_column.append(self.reduce.weight)
                by_row += [self.excite.weight, self.excite.bias]
            for parameter in by_row:
                parameter.copy_(parameter[order].clone())
            for parameter in by_column:
                parameter.copy_(parameter[:, order].clone())


class SharedFused(nn.Module):  # type: ignore[misc]
    """A fused block of any of the nested `kernels` (rising)."""

    def __init__(self, channels: int, largest: Bottleneck, kernels: Sequence[Pair]) -> None:
        super().__init__()
        self.fused = SharedConvolution(largest.channels, channels, kernels[-1])
        self.kernels = tuple(kernels)
        self.transforms = _transforms(kernels)

    def forward(
        self, x: Tensor, block: Bottleneck, padding: Pair, activate: object, samples: int | None
    ) -> Tensor:
        assert callable(activate)
        y = functional.conv2d(x, self.weight(block), None, block.stride, padding)
        activated: Tensor = activate(self.fused.norm(y, samples))
        return activated

    def state(self, block: Bottleneck, prefix: str) -> dict[str, Tensor]:
        """See `SharedBottleneck.state`."""
        return dict(_convolution_state(f"{prefix}.fused", self.weight(block), self.fused.norm))

    def weight(self, block: Bottleneck) -> Tensor:
        return nested_kernel(self.fused.weight, self.kernels, self.transforms, block.kernel)

    def sort_channels(self) -> None:
        """Nothing: all of its channels are always used."""


def _transforms(kernels: Sequence[Pair]) -> nn.ParameterList:
    """The middle of kernel i + 1 becomes kernel i by the identity plus transforms[i]: weight decay
    then pulls towards the middle as it is."""
    for smaller, larger in pairwise(kernels):
        assert all(a <= b and (b - a) % 2 == 0 for a, b in zip(smaller, larger, strict=True))
    return nn.ParameterList(
        torch.zeros(rows * columns, rows * columns) for rows, columns in kernels[:-1]
    )


def nested_kernel(
    weight: Tensor, kernels: Sequence[Pair], transforms: nn.ParameterList, kernel: Pair
) -> Tensor:
    """Weights [outputs, inputs, rows, columns] of one of `kernels`, of those of the largest."""
    at = len(kernels) - 1
    while kernels[at] != kernel:
        larger, smaller = kernels[at], kernels[at - 1]
        top, left = ((a - b) // 2 for a, b in zip(larger, smaller, strict=True))
        core = weight[:, :, top : top + smaller[0], left : left + smaller[1]]
        flat = core.flatten(2)
        weight = (flat + flat @ transforms[at - 1].T).unflatten(2, smaller)
        at -= 1
    return weight


def _weight(outputs: int, inputs: int, kernel: Pair) -> nn.Parameter:
    weight = torch.empty(outputs, inputs, *kernel)
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
    return nn.Parameter(weight)


def _convolution_state(
    prefix: str, weight: Tensor, norm: SharedNorm, channels: int | None = None
) -> dict[str, Tensor]:
    return {
        f"{prefix}.convolution.weight": weight,
        f"{prefix}.norm.weight": norm.weight[:channels],
        f"{prefix}.norm.bias": norm.bias[:channels],
    }
