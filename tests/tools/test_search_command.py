"""`thumbnet search` as people and scripts see it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ROOT, refusal_of

pytest.importorskip("torch", reason="needs torch")
pytest.importorskip("torchao", reason="needs torchao")
pytest.importorskip("matplotlib", reason="needs matplotlib")

import torch
from PIL import Image

from thumbnet.codegen.manifest import read_manifest
from thumbnet.nas import evolution
from thumbnet.nas.architecture import from_json, macs, parameters
from thumbnet.tools import search_run
from thumbnet.tools.cli import main
from thumbnet.tools.narration import Narration

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # sums are in one order
LIMITS = ("--max-sram", "16K", "--max-flash", "64K", "--max-cycles", "3M")
SMALL = (
    *("--resolution", "16", "--width", "0.2", "--space", "w0.2-r16-s2", "--samples", "4"),
    *("--epochs", "4", "--batch", "16", "--population", "4", "--generations", "1"),
    *("--shortlist", "2", "--fine-tuning-epochs", "2", "--qat-epochs", "0"),
    *("--processes", "1", "--device", "cpu"),
)
STAGE_1 = {"plan.json", "space.json", "space.png", "report.html"}
LEFT = {
    *("plan.json", "space.json", "space.png", "super_network.pt"),
    *("search.json", "shortlist.json", "history.csv", "history.png"),
    *("pareto.json", "pareto.png", "best.json"),
    *("network.pt", "model.tflite", "result.json", "report.html"),
}


FEW = 4  # networks whose costs are asked at once, in this process


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, with `blobs`: noisy pictures of 16 pixels with a red, green or blue
    spot."""
    place = tmp_path_factory.mktemp("search")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    make_blobs(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(evolution, "LEAST_BATCH", FEW)
        yield place
    torch.set_num_threads(threads)


def make_blobs(place: Path) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:16, :16]
    for i in range(150):
        label = i % 3
        pixels = rng.integers(0, 90, (16, 16, 3))
        row, column, radius = *rng.uniform(4, 12, 2), rng.uniform(3, 6)
        spot = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        pixels[spot] = np.where(np.arange(3) == label, 200, 40) + rng.integers(0, 50, 3)
        part = "train" if i < 120 else "test"
        folder = place / "blobs" / part / ("blue", "green", "red")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")


def command(out: object, *more: object) -> tuple[object, ...]:
    return ("search", "--data", "blobs", "-o", out, *LIMITS, *SMALL, *more)


def run_here(*words: object) -> subprocess.CompletedProcess[str]:
    """The command, run in this process."""
    out, said = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(said):
        patch.setattr(sys, "argv", ["thumbnet", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    return subprocess.CompletedProcess(
        words, int(end.value.code or 0), out.getvalue(), said.getvalue()
    )


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object on stdout."""
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return dict(json.loads(done.stdout))


Finished = tuple[Path, dict[str, Any], str]


@pytest.fixture(scope="module")
def finished(place: Path) -> Finished:
    """A whole search: its folder, its result and what it said."""
    done = run_here(*command("whole", "--json"))
    return place / "whole", result_of(done), done.stderr


def test_one_command_does_all_stages(finished: Finished) -> None:
    folder, result, said = finished
    assert {path.name for path in folder.iterdir()} == {*LEFT, "model"}
    assert set(result["files"]) >= {*LEFT, "model/model.c", "model/model.h", "model/manifest.json"}
    assert (result["stage"], result["out"]) == ("finish", "whole")
    best = from_json(json.loads((folder / "best.json").read_text()), "best.json")
    assert result["digest"] == best.digest
    promised, compiled = result["promised"], result["compiled"]
    assert (promised["macs"], promised["params"]) == (macs(best), parameters(best))
    manifest = read_manifest(folder / "model")
    for name in ("arena_bytes", "weights_bytes"):
        assert promised[name] >= compiled[name] == getattr(manifest, name), name
    assert manifest.arena_bytes + 512 <= 16 * 1024
    assert result["test_accuracy"] > 0.6  # of three classes
    for name in ("shared_accuracy", "float_accuracy", "validation_accuracy"):
        assert 0 <= result[name] <= 1
    assert json.loads((folder / "result.json").read_text()).items() <= result.items()
    stages = re.findall(r"^(\d/4 \w+): done in", said, re.MULTILINE)
    assert stages == ["1/4 space", "2/4 train", "3/4 evolve", "4/4 finish"]
    assert re.search(r"^2/4 train: super-network: epoch 2 of 4, loss .* left$", said, re.MULTILINE)


@pytest.mark.usefixtures("qemu")
def test_the_winner_costs_what_was_promised(finished: Finished) -> None:
    _, result, _ = finished
    promised, measured = result["promised"], result["measured"]
    assert measured["on"] == "mps2-an386"
    compiled = result["compiled"]  # no more than promised; less where training left dead channels
    assert measured["arena_bytes"] == compiled["arena_bytes"]
    assert measured["flash"]["weights"] == compiled["weights_bytes"]
    assert measured["cycles"] <= 1.05 * promised["cycles"]
    assert abs(measured["cycles"] - compiled["cycles"]) <= 0.05 * compiled["cycles"]
    error = measured["cycles"] / promised["cycles"] - 1
    assert result["cycles_error"] == pytest.approx(error, abs=1e-9)
    assert (measured["calls"], measured["calls_equal"]) == (20, 20)
    assert result["broken_promises"] == []


def test_the_report_is_one_page(finished: Finished) -> None:
    folder, result, _ = finished
    text = (folder / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.outside == []
    for shown in (
        result["digest"],
        f"{result['test_accuracy']:.2%}",
        f"{result['promised']['cycles']:,}",
        "w0.2-r16-s2",
        "Evolution",
        "thumbnet bench whole/model.tflite",
    ):
        assert shown in text, shown


class Page(HTMLParser):
    """What is left open at the end, and what is fetched from elsewhere."""

    ALONE = frozenset(("meta", "link", "br"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.ALONE:
            self.open.append(tag)
        self.outside += [
            v for k, v in attrs if k in ("src", "href") and v and not v.startswith("data:")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


# ---- going on ------------------------------------------------------------------------------------


def test_a_finished_search_is_told_again(finished: Finished) -> None:
    folder, result, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for words in (command("whole", "--json"), ("search", "-o", "whole", "--json")):
        assert result_of(run_here(*words)) == result
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    done = run_here("search", "finish", "whole")
    assert f"{result['promised']['cycles']:,}" in done.stdout
    assert "see whole/report.html" in done.stdout


def started(place: Path, *words: object, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "thumbnet.tools.cli", *map(str, words)],
        cwd=place,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_ctrl_c,
    )


def hears_ctrl_c() -> None:
    """Shells start what runs in the background deaf to it, tests among it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_killed_search_goes_on_to_the_same_result(finished: Finished, place: Path) -> None:
    whole, result, _ = finished
    process = started(place, *command("killed"))
    assert process.stderr is not None
    for line in process.stderr:
        if "super-network: epoch 2 of 4" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    assert not (place / "killed" / "search.json").exists()
    done = run_here("search", "evolve", "killed", "--json")
    found = result_of(done)
    assert "super-network: epoch 1 of 4" not in done.stderr
    assert found["digest"] == result["digest"]
    assert found["promised"] == result["promised"]
    for name in ("space.json", "search.json", "history.csv", "best.json", "pareto.json"):
        assert (place / "killed" / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_finish_that_was_interrupted_goes_on(
    finished: Finished, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, result, _ = finished
    shutil.copytree(whole, place / "late")
    for name in ("model", "model.tflite", "network.pt", "result.json", "report.html"):
        path = place / "late" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def interrupted(voice: Narration, text: str) -> None:
        if text.startswith("quantised after training"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Narration, "line", interrupted)
        done = run_here("search", "-o", "late")
    assert done.returncode == 130
    assert done.stderr == "thumbnet: stopped; the same command goes on from here\n"
    assert not (place / "late" / "result.json").exists()
    done = run_here("search", "-o", "late", "--json")
    assert "fine-tuning: epoch" not in done.stderr
    assert result_of(done) == {**result, "out": "late"}
    assert {path.name for path in (place / "late").iterdir()} == {*LEFT, "model"}


def test_under_torchrun_one_process_speaks(place: Path) -> None:
    """What two find is that of one process: tests/nas/test_search.py."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ("search", "train", *command("two", "--norm-samples", "8", "--json")[1:])
    group = [
        started(
            place, *words, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
            LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
        )
        for rank in range(2)
    ]  # fmt: skip
    (out, said), (other_out, other_said) = (p.communicate(timeout=600) for p in group)
    assert [p.returncode for p in group] == [0, 0], said + other_said
    assert (other_out, other_said) == ("", "")
    assert "2/4 train: super-network: epoch 4 of 4" in said
    assert "Warning" not in said
    result = json.loads(out)
    assert len(result["losses"]) == 4
    assert set(result["files"]) == STAGE_1 | {"super_network.pt"}


def test_ctrl_c_says_how_to_go_on(place: Path) -> None:
    process = started(place, "search", "space", *command("stopped", "--samples", "9999")[1:])
    assert process.stderr is not None
    assert "1/4 space" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "thumbnet: stopped; the same command goes on from here"
    assert "Traceback" not in said


# ---- the front -----------------------------------------------------------------------------------


def test_a_network_of_the_front_is_finished_in_its_own_folder(
    finished: Finished, place: Path
) -> None:
    whole, _, _ = finished
    front = json.loads((whole / "pareto.json").read_text())["networks"]
    best = json.loads((whole / "result.json").read_text())["digest"]
    others = [each["digest"] for each in front if each["digest"] != best]
    if not others:
        pytest.skip("the front is one network")
    result = result_of(run_here("search", "finish", "whole", "--pick", others[0], "--json"))
    assert result["digest"] == others[0]
    assert Path(result["out"]) == Path("whole") / others[0]
    assert {"model.tflite", "best.json", "report.html", "model/model.c"} <= set(result["files"])
    assert json.loads((whole / "result.json").read_text())["digest"] == best


# ---- refusals ------------------------------------------------------------------------------------


def refused(*words: object, status: int = 1) -> tuple[str, str]:
    """(kind, message). What was said before the refusal is left out."""
    done = run_here(*words, "--json")
    done.stderr = "".join(done.stderr.splitlines(keepends=True)[-1:])
    return refusal_of(done, status)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fly", "-o", "x"), "'fly' is no stage: one of space, train, evolve, finish"),
        (("--data", "blobs"), "where to\\? Give one folder: -o OUT"),
        (("-o", "new"), "new holds no search yet: give --data DIR, and --board or limits"),
        (("--data", "blobs", "-o", "new"), "what has to fit\\? Give --board, or limits"),
        (("--data", "blobs", "-o", "new", "--task", "x"), "not one of images, cifar10, speech-com"),
        (("--data", "blobs", "-o", "new", "--template", "x"), "not one of images, small-images"),
        (("--data", "blobs", "-o", "new", "--max-cycles", "1G"), "'1G' is not a number"),
        (("--data", "blobs", "-o", "new", "--resolution", "a"), "'a' is not a list of numbers"),
        (("whole", "--seed", "3"), "'whole' is no stage"),
        (("evolve", "whole", "--seed", "3"), "--seed: the search in whole has its settings"),
        (("evolve", "whole", "--input", "rows"), "--input: the search in whole has its settings"),
        (("evolve", "whole", "-o", "whole"), "Give one folder"),
    ],
)
def test_wrong_usage_is_told(
    finished: Finished, place: Path, words: tuple[str, ...], message: str
) -> None:
    kind, text = refused("search", *words, status=2)
    assert kind == "usage"
    assert re.search(message, text), text
    assert not (place / "new").exists()


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (
            ("search", "--data", "nowhere", "-o", "new", *LIMITS),
            "data",
            "nowhere: there is no such",
        ),
        (command("whole", "--seed", "3"), "data", "another search lies here: seed is 0, asked for"),
        (command("blobs/train/red/2.png"), "data", "2.png is a file; give a folder"),
        (command("new", "--board", "arduino"), "tool", "unknown board 'arduino': choose one of"),
        (command("new", "--target", "z80"), "tool", "unknown target 'z80': choose one of"),
        (
            command("new", "--board", "microbit", "--target", "cortex-m4"),
            "tool",
            "board 'microbit' has a cortex-m0, not a cortex-m4",
        ),
        (command("new", "--space", "w9"), "data", "no search space 'w9' .* it has w0.2-r16-s1, w0"),
        (
            ("search", "finish", "whole", "--pick", "abcdef"),
            "data",
            "no networks of this search begin with 'abcdef'",
        ),
        (
            ("search", "--data", "blobs", "-o", "new", "--max-sram", "700", *SMALL),
            "budget",
            "the least that was found is SRAM: \\d+ bytes \\(w0.2-r16-s2\\), limit 700",
        ),
    ],
)
def test_refusals(
    finished: Finished,
    place: Path,
    words: tuple[object, ...],
    kind: str,
    message: str,
) -> None:
    found, text = refused(*words)
    assert found == kind, text
    assert re.search(message, text), text
    assert not (place / "new").exists()


def test_missing_packages_are_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_run, "find_spec", lambda name: None if name == "torch" else name)
    kind, text = refused("search", "--data", "blobs", "-o", "new", *LIMITS, *SMALL)
    assert kind == "tool"
    assert "needs torch: pip install 'thumbnet[nas]'" in text
    assert not (place / "new").exists()


def test_stage_1_needs_no_torch(place: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; from thumbnet.tools.cli import main; "
        "sys.argv[0] = 'thumbnet'; main()"
    )
    words = map(str, ("search", "space", *command("first", "--json")[1:]))
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["space"], result["input_shape"]) == ("w0.2-r16-s2", [16, 16, 3])
    assert set(result["files"]) == STAGE_1


def test_help_tells_of_every_stage() -> None:
    text = run_here("search", "-h").stdout
    for stage in ("space", "train", "evolve", "finish"):
        assert re.search(rf"^ *{stage}: \w", text, re.MULTILINE), stage
