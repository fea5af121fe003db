"""The super-network, its training, and the stages of a search: exact, resumable, refusing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")

import torch
from command_line import ROOT
from one_of_two import FEW, losses_in_double
from toy_task import CLASSES, toy_task

from thumbnet.codegen.errors import BudgetError, DataError, ThumbnetError, ToolError
from thumbnet.codegen.files import read_json, write_json
from thumbnet.nas import cost, evolution, search, search_plan
from thumbnet.nas.architecture import from_json
from thumbnet.nas.cost import Deployment, Limits, network_cost
from thumbnet.nas.evaluation import recalibrate, shared_accuracy
from thumbnet.nas.evolution import Candidate, Search, Settings
from thumbnet.nas.network import Network, build
from thumbnet.nas.recipe import Effort, Recipe, Sandwich
from thumbnet.nas.search_plan import BEST, HISTORY, PLAN, SHARED, STATE, Folder, Plan
from thumbnet.nas.search_space import (
    SMALL_IMAGES,
    SearchSpace,
    Stage,
    SubNetwork,
    sample,
)
from thumbnet.nas.super_network import SuperNetwork
from thumbnet.nas.super_training import SuperObjective, train_super_network
from thumbnet.nas.task import Task, batch
from thumbnet.nas.training import Objective, load_file, losses_of, train

SIZE = 12
QUICK = Recipe(epochs=3, batch=16, learning_rate=0.05, checkpoint_seconds=0.0)


@pytest.fixture(scope="module", autouse=True)
def small_steps() -> Iterator[None]:
    """One thread, so that sums are in one order; costs asked in small numbers, and once."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evolution, "LEAST_BATCH", FEW)
        patch.setattr(cost, "network_cost", cache(network_cost))
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def task() -> Task:
    return toy_task(size=SIZE, train=64, validation=24, test=16)


def small_space(first: bool = True, head: int = 0) -> SearchSpace:
    """Three kernels, two expansions, with and without squeeze-and-excite."""
    return replace(
        SMALL_IMAGES.space(0.2, (SIZE, SIZE, 3), (2, 2), len(CLASSES)),
        first=8 if first else 0,
        stages=(Stage(8, (1, 1), (1, 2)), Stage(16, (2, 2), (1, 2))),
        expansions=(2, 4),
        squeezes=(False, True),
        head=head,
    )


def scrambled(space: SearchSpace, seed: int = 0, **options: Any) -> SuperNetwork:
    """A super-network of which no two parameters are alike, transforms too."""
    torch.manual_seed(seed)
    network = SuperNetwork(space, **options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def pictures(count: int = 6, seed: int = 0) -> Any:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def drawn(space: SearchSpace, count: int = 6) -> list[SubNetwork]:
    rng = np.random.default_rng(1)
    return [space.smallest, space.largest, *(sample(space, rng) for _ in range(count))]


# ---- the super-network ---------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "head"), [(True, 0), (False, 24)])
def test_an_extracted_network_is_the_same_function(first: bool, head: int) -> None:
    space = small_space(first, head)
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
    assert whole.shape[2:] == (7, 7)
    assert torch.equal(shared.depthwise_weight((7, 7), 16), whole[:16])
    assert torch.equal(shared.depthwise_weight((5, 5), 16), whole[:16, :, 1:6, 1:6])
    assert torch.equal(shared.depthwise_weight((3, 3), 8), whole[:8, :, 2:5, 2:5])
    with torch.no_grad():
        shared.transforms[1][3, 4] = 0.5  # of 5x5 from 7x7: element 3 takes half of element 4
    middle = shared.depthwise_weight((5, 5), 16).reshape(16, 25)
    plain = whole[:16, :, 1:6, 1:6].reshape(16, 25)
    torch.testing.assert_close(middle[:, 3], plain[:, 3] + 0.5 * plain[:, 4])
    assert torch.equal(middle[:, 4:], plain[:, 4:])
    through = shared.depthwise_weight((3, 3), 16)  # by way of 5x5
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


class Stop(Exception):
    """Where a test ends a run."""


def stopping(text: str) -> Callable[[str], None]:
    """A progress that ends the run at the first line with `text`."""

    def line(said: str) -> None:
        if text in said:
            raise Stop

    return line


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


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


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


# ---- plan and folder -----------------------------------------------------------------------------

LIMITS = Limits(sram=16 * 1024, flash=64 * 1024, cycles=3_000_000)


def small_plan(**options: Any) -> Plan:
    return Plan(
        **{  # those of `options` last
            "limits": LIMITS,
            "template": "small-images",
            "resolutions": (SIZE,),
            "widths": (0.2,),
            "samples": 4,
            "super_training": QUICK,
            "sandwich": Sandwich(1, 1),
            "effort": Effort(32, None),
            "evolution": Settings(population=4, generations=2, parents=2),
            "fine_tuning": QUICK,
            **options,
        }
    )


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = small_plan(
        deployment=Deployment(input="stream", optimize="size"),
        space="w0.2-r12-s2",
        norm_samples=8,
        data={"task": "images", "words": ["a"]},
    )
    folder = Folder(tmp_path / "new" / "folder")
    folder.claim(plan)
    assert folder.plan() == plan


def test_a_folder_is_of_one_search(tmp_path: Path) -> None:
    folder, plan = Folder(tmp_path / "out"), small_plan(data={"folder": "/here"})
    folder.claim(plan)
    folder.claim(plan)
    other = replace(plan, limits=replace(LIMITS, cycles=None), evolution=Settings(population=5))
    with pytest.raises(DataError) as refusal:
        folder.claim(other)
    assert "limits.cycles is 3000000, not not given" not in str(refusal.value)
    assert "limits.cycles is 3000000, asked for is none" in str(refusal.value)
    assert "evolution.population is 4, asked for is 5" in str(refusal.value)
    folder.claim(replace(plan, data={"folder": "/there"}))  # the same data elsewhere
    assert folder.plan().data == {"folder": "/there"}


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DataError, match="file is a file"):
        Folder(file).claim(small_plan())
    with pytest.raises(ToolError, match="file/below: .*file cannot be written to"):
        Folder(file / "below").claim(small_plan())
    folder = Folder(tmp_path / "out")
    folder.claim(small_plan())
    good = read_json(folder / PLAN)
    for change, message in (
        ({"qat_epochs": "2"}, r"plan\.json: no plan of a search \(qat_epochs: .*integer"),
        ({"limits": None}, "no plan of a search"),
        ({"later": 1}, r"a later version of Thumbnet \(later\)"),
        ({"evolution": {**good["evolution"], "population": 1}}, "population 1 is below 2"),
        ({"deployment": {**good["deployment"], "target": "z80"}}, "unknown target 'z80'"),
    ):
        write_json(folder / PLAN, {**good, **change})
        with pytest.raises(ThumbnetError, match=message):
            folder.plan()
    del good["norm_samples"], good["evolution"]["tries"]  # an earlier version's has the defaults
    write_json(folder / PLAN, good)
    assert folder.plan() == small_plan()
    (folder / PLAN).unlink()
    (folder / SHARED).write_bytes(b"")
    with pytest.raises(DataError, match=r"a search without its plan\.json"):
        folder.claim(small_plan())


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(DataError, match="no template 'big'.*images, small-images, spectrograms"):
        search_plan.spaces(small_plan(template="big"), (32, 32, 3), 4)
    with pytest.raises(DataError, match=r"no search space 'w9'.*w0.2-r12-s1, w0.2-r12-s2"):
        search_plan.spaces(small_plan(space="w9"), (32, 32, 3), 4)


def test_resolutions_asked_for_may_be_larger_than_the_data() -> None:
    found = search_plan.spaces(small_plan(resolutions=(24, 40)), (16, 20, 1), 4)
    assert {space.input_shape for space in found.values()} == {(24, 24, 1), (40, 40, 1)}


# ---- stages --------------------------------------------------------------------------------------


def run_stages(folder: Folder, plan: Plan, task: Task, **progress: Any) -> Search:
    space = search.choose(folder, plan, task.input_shape, len(task.classes))
    network = search.share(folder, plan, space, task, **progress)
    return search.evolve(folder, plan, space, network, task, **progress)


@pytest.fixture(scope="module")
def whole(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The first three stages, not stopped."""
    folder = Folder(tmp_path_factory.mktemp("search") / "whole")
    run_stages(folder, small_plan(), task)
    return folder


@pytest.mark.parametrize("moment", ["epoch 2 of 3", "generation 0", "generation 1"])
def test_a_search_that_was_stopped_ends_with_the_same_files(
    whole: Folder, task: Task, tmp_path: Path, moment: str
) -> None:
    folder = Folder(tmp_path / "stopped")
    folder.path.mkdir()
    for name in (PLAN, search_plan.SPACE):  # stage 1 is a function of the plan
        (folder / name).write_bytes((whole / name).read_bytes())
    if moment.startswith("generation"):
        (folder / SHARED).write_bytes((whole / SHARED).read_bytes())
    with pytest.raises(Stop):
        run_stages(folder, small_plan(), task, progress=stopping(moment))
    assert not (folder / BEST).exists()
    run_stages(folder, small_plan(), task)
    for name in (STATE, HISTORY, BEST, search_plan.FRONT):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    ours, theirs = load_file(folder / SHARED), load_file(whole / SHARED)
    assert_equal(ours["objective"], theirs["objective"])
    assert losses_of(folder / SHARED) == losses_of(whole / SHARED)
    assert len(losses_of(folder / SHARED)) == 3


def test_two_processes_find_what_one_does(whole: Folder, task: Task, tmp_path: Path) -> None:
    """Losses are those of one process with the whole batch: in float64, to what float32 leaves of
    the softmax. (In float32 the order of sums shows after some steps, as it does between any two
    machines.) Evolution in the same super-network ends with the same files."""
    folder = Folder(tmp_path / "two")
    folder.path.mkdir()
    for name in (PLAN, search_plan.SPACE, SHARED):
        (folder / name).write_bytes((whole / name).read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    script = Path(__file__).with_name("one_of_two.py")
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder.path), str(SIZE)],
            env={**os.environ, **group, "RANK": str(rank), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    spaces = search_plan.spaces(small_plan(), task.input_shape, len(task.classes))
    expected = losses_in_double(spaces[search_plan.read_choice(whole).chosen])
    answers = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    for out, _ in answers:
        assert json.loads(out) == pytest.approx(expected, rel=1e-5)
    for name in (STATE, HISTORY, BEST, search_plan.FRONT):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_the_stages_leave(whole: Folder) -> None:
    plan = small_plan()
    best = from_json(read_json(whole / BEST), "best.json")
    found = search.search_state.read_search(whole / STATE)
    winner = search.best_candidate(whole, found)
    assert winner.digest == best.digest
    assert winner.accuracy == max(c.accuracy for c in found.evaluated)
    assert winner.cost == network_cost(best, plan.deployment, plan.limits)
    front = read_json(whole / search_plan.FRONT)
    assert [n["digest"] for n in front["networks"]] == [c.digest for c in found.front]
    for each in front["networks"]:
        assert from_json(each["architecture"], "front").digest == each["digest"]
    rows = (whole / HISTORY).read_text().splitlines()
    assert len(rows) == 1 + len(found.evaluated)
    for picture in (search_plan.SPACE_PICTURE, search_plan.PARETO_PICTURE):
        assert (whole / picture).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match=r"no networks of this search begin with 'zz'.*front are"):
        search.candidate_named(found, "zz")
    with pytest.raises(DataError, match="begin with ''"):
        search.candidate_named(found, "")


def test_what_is_far_from_fitting_is_not_trained(whole: Folder) -> None:
    fitting, plan = search_plan.read_choice(whole).best.macs, small_plan()
    focused = search_plan.focused(whole, plan)
    assert replace(focused, most_macs=None) == plan.sandwich
    assert focused.most_macs == round(search_plan.HEADROOM * fitting[-1])
    assert search_plan.focused(whole, replace(plan, focus=False)) == plan.sandwich
    given = small_plan(sandwich=Sandwich(1, 1, most_macs=99))
    assert search_plan.focused(whole, given) == given.sandwich


def test_limits_that_nothing_satisfies_leave_no_folder(task: Task, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    with pytest.raises(BudgetError, match=r"SRAM: \d+ bytes \(w0.2-r12-s\d\), limit 600"):
        run_stages(folder, small_plan(limits=Limits(sram=600)), task)
    assert not folder.path.exists()


def test_a_network_that_does_not_fit_once_compiled_is_passed_over(
    whole: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search.search_state.read_search(whole / STATE)
    (space,) = (
        space
        for space in search_plan.spaces(small_plan(), (SIZE, SIZE, 3), len(CLASSES)).values()
        if space.name == found.space
    )
    ranked = sorted(found.evaluated, key=lambda c: (-c.accuracy, c.cost.cycles, c.digest))
    compiled, asked, said = search.compiled_for_target, [], list[str]()

    def refusing(*arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 1:
            raise BudgetError("2 bytes more than --max-flash")
        return compiled(*arguments)

    monkeypatch.setattr(search, "compiled_for_target", refusing)
    chosen = search.winner(found, small_plan(), space, tmp_path, said.append)
    assert chosen == ranked[1]
    assert said == [f"network {ranked[0].digest} is passed over: 2 bytes more than --max-flash"]
    assert list(tmp_path.iterdir()) == []
    wrong = replace(ranked[1], cost=replace(ranked[1].cost, arena_bytes=1))
    asked.clear()
    asked.append(())
    with pytest.raises(BudgetError, match="was promised.*'arena': 1.*a defect of the cost report"):
        search.winner(
            replace(found, evaluated=(wrong,)), small_plan(), space, tmp_path, said.append
        )


def test_tflm_memory_promises_what_tflm_needs(tmp_path: Path) -> None:
    plan = small_plan(deployment=Deployment(memory="tflm"), limits=Limits(sram=64 * 1024))
    space = small_space()
    architecture = space.architecture(space.smallest)
    needed = network_cost(architecture, plan.deployment, plan.limits)
    candidate = Candidate(space.smallest, architecture.digest, needed, 0.5, 0)
    found = Search(space.name, plan.limits, plan.evolution, 0, (candidate,))
    assert search.winner(found, plan, space, tmp_path, lambda line: None) == candidate
    ours = network_cost(architecture, small_plan().deployment, plan.limits)
    assert ours.arena_bytes < needed.arena_bytes


def test_weights_survive_their_file(tmp_path: Path) -> None:
    network = build(small_space().architecture(small_space().largest)).eval()
    search.write_checkpoint(tmp_path / "network.pt", search.weights_of(network))
    again = search.load_weights(tmp_path / "network.pt")
    assert isinstance(again, Network)
    assert torch.equal(again(pictures()), network(pictures()))
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(DataError, match=r"other\.pt: holds no network of a search"):
        search.load_weights(tmp_path / "other.pt")
