"""The stages of a search and their folder: exact, resumable, refusing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch")

import torch
from command_line import ROOT
from one_of_two import FEW, losses_in_double
from small_search import QUICK, SIZE, Stop, assert_equal, pictures, small_space, stopping
from toy_task import CLASSES, toy_task

from thumbnet.codegen.errors import BudgetError, DataError, ThumbnetError, ToolError
from thumbnet.codegen.files import read_json, write_json
from thumbnet.nas import cost, evolution, search, search_plan, search_state
from thumbnet.nas.architecture import from_json
from thumbnet.nas.checkpoint import load_file
from thumbnet.nas.cost import Deployment, Limits, network_cost
from thumbnet.nas.evolution import Candidate, Search, Settings
from thumbnet.nas.network import Network, build
from thumbnet.nas.recipe import Effort, Sandwich
from thumbnet.nas.search_plan import BEST, HISTORY, PLAN, SHARED, SHORTLIST, STATE, Folder, Plan
from thumbnet.nas.task import Task
from thumbnet.nas.training import losses_of


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
            "shortlist": 3,
            "shortlist_epochs": 1,
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


@pytest.mark.parametrize(
    "moment", ["epoch 2 of 3", "generation 0", "generation 1", "shortlist, 1 of 3"]
)
def test_a_search_that_was_stopped_ends_with_the_same_files(
    whole: Folder, task: Task, tmp_path: Path, moment: str
) -> None:
    folder = Folder(tmp_path / "stopped")
    folder.path.mkdir()
    for name in (PLAN, search_plan.SPACE):  # stage 1 is a function of the plan
        (folder / name).write_bytes((whole / name).read_bytes())
    if not moment.startswith("epoch"):
        (folder / SHARED).write_bytes((whole / SHARED).read_bytes())
    with pytest.raises(Stop):
        run_stages(folder, small_plan(), task, progress=stopping(moment))
    assert not (folder / BEST).exists()
    run_stages(folder, small_plan(), task)
    for name in (STATE, HISTORY, SHORTLIST, BEST, search_plan.FRONT):
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
    for name in (STATE, HISTORY, SHORTLIST, BEST, search_plan.FRONT):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_the_stages_leave(whole: Folder) -> None:
    plan = small_plan()
    best = from_json(read_json(whole / BEST), "best.json")
    found = search_state.read_search(whole / STATE)
    winner = search.best_candidate(whole, found)
    assert winner.digest == best.digest
    reached = search_state.read_shortlist(whole / SHORTLIST)
    ordered = sorted(found.evaluated, key=lambda c: (-c.accuracy, c.cost.cycles, c.digest))
    assert [c.digest for c in ordered[:3]] == list(reached)
    assert reached[winner.digest] == max(reached.values())
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


def test_a_shortlist_that_is_damaged_is_refused(tmp_path: Path) -> None:
    file = tmp_path / SHORTLIST
    for value in ([], {}, {"format": search_state.SHORTLIST_FORMAT, "networks": [{"digest": "a"}]}):
        write_json(file, value)
        with pytest.raises(DataError, match="is no shortlist of a search; remove it"):
            search_state.read_shortlist(file)
    search_state.write_shortlist({"b": 0.5, "a": 0.25}, file)
    assert list(search_state.read_shortlist(file).items()) == [("b", 0.5), ("a", 0.25)]


def test_what_is_far_from_fitting_is_not_trained(whole: Folder) -> None:
    choice, plan = search_plan.read_choice(whole), small_plan()
    (space,) = (
        s for n, s in search_plan.spaces(plan, (SIZE, SIZE, 3), 2).items() if n == choice.chosen
    )
    focused = search_plan.focused(choice, plan, space)
    assert replace(focused, most_macs=None) == plan.sandwich
    assert focused.most_macs == round(search_plan.HEADROOM * choice.best.macs[-1])
    assert search_plan.focused(choice, replace(plan, focus=False), space) == plan.sandwich
    given = small_plan(sandwich=Sandwich(1, 1, most_macs=99))
    assert search_plan.focused(choice, given, space) == given.sandwich
    all_fit = replace(choice, spaces=(replace(choice.best, macs=(10**9,)),))
    assert search_plan.focused(all_fit, plan, space) == plan.sandwich


def test_limits_that_nothing_satisfies_leave_no_folder(task: Task, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    with pytest.raises(BudgetError, match=r"SRAM: \d+ bytes \(w0.2-r12-s\d\), limit 600"):
        run_stages(folder, small_plan(limits=Limits(sram=600)), task)
    assert not folder.path.exists()


def test_a_network_that_does_not_fit_once_compiled_is_passed_over(
    whole: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search_state.read_search(whole / STATE)
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
    chosen = search.winner(ranked, small_plan(), space, tmp_path, said.append)
    assert chosen == ranked[1]
    assert said == [f"network {ranked[0].digest} is passed over: 2 bytes more than --max-flash"]
    assert list(tmp_path.iterdir()) == []
    wrong = replace(ranked[1], cost=replace(ranked[1].cost, arena_bytes=1))
    asked.clear()
    asked.append(())
    with pytest.raises(BudgetError, match="was promised.*'arena': 1.*a defect of the cost report"):
        search.winner([wrong], small_plan(), space, tmp_path, said.append)


def test_tflm_memory_promises_what_tflm_needs(tmp_path: Path) -> None:
    plan = small_plan(deployment=Deployment(memory="tflm"), limits=Limits(sram=64 * 1024))
    space = small_space()
    architecture = space.architecture(space.smallest)
    needed = network_cost(architecture, plan.deployment, plan.limits)
    candidate = Candidate(space.smallest, architecture.digest, needed, 0.5, 0)
    assert search.winner([candidate], plan, space, tmp_path, lambda line: None) == candidate
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
