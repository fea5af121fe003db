"""The super-network and its training: exact, and resumable at any step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

import torch
from small_search import QUICK, SIZE, Stop, assert_equal, drawn, pictures, scrambled, small_space
from torch.nn.functional import cross_entropy
from toy_task import CLASSES, toy_task

from thumbnet.codegen.errors import DataError
from thumbnet.nas.architecture import Pair, macs
from thumbnet.nas.checkpoint import load_file
from thumbnet.nas.evaluation import recalibrate, shared_accuracy
from thumbnet.nas.network import build
from thumbnet.nas.recipe import Effort, Recipe, Sandwich
from thumbnet.nas.search_space import (
    SearchSpace,
    SubNetwork,
    sample,
)
from thumbnet.nas.super_network import SuperNetwork, nested_kernel
from thumbnet.nas.super_training import SuperObjective, train_super_network
from thumbnet.nas.task import Task, batch
from thumbnet.nas.training import Objective, train


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """So that sums are in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def task() -> Task:
    return toy_task(size=SIZE, train=64, validation=24, test=16)


# ---- the super-network ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "head", "fused"), [(True, 0, False), (False, 24, False), (True, 0, True)]
)
def test_an_extracted_network_is_the_same_function(first: bool, head: int, fused: bool) -> None:
    space = small_space(first, head, fused)
    network, x = scrambled(space), pictures()
    for chosen in drawn(space):
        extracted = network.extract(chosen).train()
        assert extracted.architecture == space.architecture(chosen)
        assert torch.equal(network(x, chosen), extracted(x))


def test_an_extracted_network_has_weights_of_its_own() -> None:
    network = scrambled(small_space())
    extracted = network.extract(network.space.largest)
    before = network.stem.weight.detach().clone()
    with torch.no_grad():
        for parameter in extracted.parameters():
            parameter.zero_()
    assert torch.equal(network.stem.weight, before)


def test_sorted_channels_leave_the_largest_as_it_was() -> None:
    network, x = scrambled(small_space()), pictures()
    space = network.space
    before, smaller = network(x, space.largest), network(x, space.smallest)
    network.sort_channels()
    torch.testing.assert_close(network(x, space.largest), before, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(network(x, space.smallest), smaller, atol=1e-2)
    for shared in network.blocks[1:]:
        importance = shared.project.weight.abs().sum((0, 2, 3))
        assert torch.all(importance[:-1] >= importance[1:])


def test_a_smaller_kernel_is_the_middle_of_the_larger_until_it_learns() -> None:
    network = SuperNetwork(small_space())
    shared = network.blocks[1]
    whole = shared.depthwise.weight

    def weight(kernel: Pair, middle: int) -> Any:
        return nested_kernel(whole[:middle], shared.kernels, shared.transforms, kernel)

    assert whole.shape[2:] == (7, 7)
    assert torch.equal(weight((7, 7), 16), whole[:16])
    assert torch.equal(weight((5, 5), 16), whole[:16, :, 1:6, 1:6])
    assert torch.equal(weight((3, 3), 8), whole[:8, :, 2:5, 2:5])
    with torch.no_grad():
        shared.transforms[1][3, 4] = 0.5  # of 5x5 from 7x7: element 3 takes half of element 4
    middle = weight((5, 5), 16).reshape(16, 25)
    plain = whole[:16, :, 1:6, 1:6].reshape(16, 25)
    torch.testing.assert_close(middle[:, 3], plain[:, 3] + 0.5 * plain[:, 4])
    assert torch.equal(middle[:, 4:], plain[:, 4:])
    through = weight((3, 3), 16)  # by way of 5x5
    assert torch.equal(through.reshape(16, 9), middle.reshape(16, 5, 5)[:, 1:4, 1:4].reshape(16, 9))


def test_batch_norms_see_so_many_samples_at_a_time() -> None:
    network, x = scrambled(small_space(), norm_samples=3), pictures(6)
    whole = scrambled(small_space())
    whole.load_state_dict(network.state_dict())
    chosen = network.space.largest
    parts = torch.cat([whole(x[:3], chosen), whole(x[3:], chosen)])
    torch.testing.assert_close(network(x, chosen), parts, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(whole(x, chosen), parts, atol=1e-3)


def test_one_sandwich_reaches_every_parameter() -> None:
    space = small_space()
    network = scrambled(space)
    narrow = tuple((replace(s[0], kernel=(3, 3)),) * len(s) for s in space.largest)
    objective = SuperObjective(network, Sandwich(random=1), 0.0, lambda rng: narrow)
    labels = torch.arange(6) % len(CLASSES)
    objective(pictures(), labels, np.random.default_rng(0), 5).backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_what_no_sub_network_uses_has_a_gradient_of_zero() -> None:
    """DistributedDataParallel waits for every one."""
    space = small_space()
    network = scrambled(space)
    largest_kernels = tuple((replace(s[0], kernel=(7, 7)),) * len(s) for s in space.largest)
    objective = SuperObjective(network, Sandwich(random=1), 0.0, lambda rng: largest_kernels)
    labels = torch.arange(6) % len(CLASSES)
    for epoch in (0, 5):
        network.zero_grad()
        objective(pictures(), labels, np.random.default_rng(0), epoch).backward()
        assert all(p.grad is not None for p in network.parameters())


def test_with_most_macs_random_networks_within_it_learn_the_labels() -> None:
    space = small_space()
    network = scrambled(space)
    most = macs(space.architecture(space.smallest)) * 2
    drawn: list[SubNetwork] = []

    def draw(rng: np.random.Generator) -> SubNetwork:
        drawn.append(sample(space, rng))
        return drawn[-1]

    objective = SuperObjective(network, Sandwich(random=2, most_macs=most), 0.0, draw)
    labels = torch.arange(6) % len(CLASSES)
    loss = objective(pictures(), labels, np.random.default_rng(0), 0)
    fitting = [each for each in drawn if macs(space.architecture(each)) <= most]
    assert len(fitting) == 2 < len(drawn)
    expected = [cross_entropy(network(pictures(), each), labels) for each in fitting]
    torch.testing.assert_close(loss, sum(expected) / 2)


# ---- recalibration -------------------------------------------------------------------------------


def test_recalibration_measures_the_statistics_of_the_training_data(task: Task) -> None:
    network = build(small_space().architecture(small_space().smallest))
    norm = network.stem.norm
    norm.running_mean.fill_(99.0)
    norm.num_batches_tracked.fill_(5)
    momentum = norm.momentum
    recalibrate(network, task, 48)
    seen = network.stem.convolution(batch(task.train, range(48))[0])
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, seen.var((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert norm.momentum == momentum
    assert not network.training


def test_shared_accuracy_leaves_the_shared_weights_alone(task: Task) -> None:
    network = scrambled(small_space())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    some = drawn(network.space, 1)
    one = shared_accuracy(network, task, some, Effort(32, None))
    assert shared_accuracy(network, task, some, Effort(32, None)) == one
    assert len(one) == 3
    assert all(0 <= accuracy <= 1 for accuracy in one)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# ---- training ------------------------------------------------------------------------------------


class StopsAt(Objective):
    """An objective that ends the run in some step, with the checkpoint of the step before."""

    def __init__(self, objective: Objective, step: int) -> None:
        super().__init__()
        self.objective, self.left = objective, step

    def forward(self, x: Any, labels: Any, draw: np.random.Generator, epoch: int) -> Any:
        if not self.left:
            raise Stop
        self.left -= 1
        return self.objective(x, labels, draw, epoch)

    def start_epoch(self, epoch: int) -> bool:
        return self.objective.start_epoch(epoch)


def sandwich_of(space: SearchSpace) -> SuperObjective:
    torch.manual_seed(0)
    network = SuperNetwork(space)
    return SuperObjective(network, Sandwich(1, 1), 0.0, lambda rng: sample(space, rng))


@pytest.mark.parametrize("step", [2, 4, 6])  # within an epoch, at its end, after channels moved
def test_a_run_that_was_stopped_in_any_step_ends_at_the_same_weights(
    task: Task, tmp_path: Path, step: int
) -> None:
    space = small_space()

    def run(objective: Objective, checkpoint: Path | None) -> tuple[float, ...]:
        return train(objective, task, QUICK, 3, what="test", checkpoint=checkpoint).losses

    whole = StopsAt(sandwich_of(space), 1000)
    losses = run(whole, None)
    with pytest.raises(Stop):
        run(StopsAt(sandwich_of(space), step), tmp_path / "run.pt")
    again = StopsAt(sandwich_of(space), 1000)
    assert run(again, tmp_path / "run.pt") == losses
    assert_equal(again.state_dict(), whole.state_dict())


def test_a_checkpoint_of_other_settings_is_refused(task: Task, tmp_path: Path) -> None:
    file, space = tmp_path / "run.pt", small_space()
    short = replace(QUICK, epochs=1)

    def run(space: SearchSpace = space, recipe: Recipe = short, seed: int = 0) -> None:
        train_super_network(space, task, recipe, Sandwich(1, 0), seed, checkpoint=file)

    run()
    with pytest.raises(DataError, match=r"run\.pt: a checkpoint of another run \(seed differ\)"):
        run(seed=1)
    with pytest.raises(DataError, match=r"recipe differ"):
        run(recipe=replace(short, learning_rate=0.1))
    with pytest.raises(DataError, match=r"key differ"):
        run(space=small_space(head=24))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"run\.pt: is damaged, or no file of weights"):
        run()
    file.unlink()
    torch.save([1], file)
    with pytest.raises(DataError, match=r"run\.pt: holds no weights"):
        run()


def test_momentum_is_forgotten_where_parameters_were_rearranged(task: Task) -> None:
    class Falling(Objective):
        """The gradient is 1 in the first epoch, 0 then."""

        def __init__(self, rearranged: bool) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.rearranged, self.after_one = rearranged, 0.0

        def forward(self, x: Any, labels: Any, draw: Any, epoch: int) -> Any:
            return self.weight * (1.0 if epoch == 0 else 0.0)

        def start_epoch(self, epoch: int) -> bool:
            if epoch == 1:
                self.after_one = self.weight.item()
            return self.rearranged and epoch == 1

    for rearranged in (False, True):
        objective = Falling(rearranged)
        train(objective, task, QUICK, 0, what="test")
        assert (objective.weight.item() == objective.after_one) is rearranged


def test_a_loss_that_is_no_number_is_refused_before_it_is_saved(task: Task, tmp_path: Path) -> None:
    class Exploding(Objective):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))
            self.steps = 0

        def forward(self, x: Any, labels: Any, draw: Any, epoch: int) -> Any:
            self.steps += 1
            return self.weight * (float("inf") if self.steps == 6 else 1.0)

    file = tmp_path / "run.pt"
    with pytest.raises(DataError, match="test: the loss became inf in epoch 2; take a smaller"):
        train(Exploding(), task, QUICK, 0, what="test", checkpoint=file)
    assert load_file(file)["counters"] == (1, 1)
