"""The log-mel front end on emulated cores: the host's bytes, and what they cost."""

import numpy as np
import pytest

from thumbnet.apps.audio.bench import cost
from thumbnet.apps.audio.host import LogMel, model_folder
from thumbnet.apps.audio.log_mel import LogMelParameters
from thumbnet.apps.audio.reference import hard_signals
from thumbnet.codegen.image import build_image
from thumbnet.codegen.targets import board
from thumbnet.codegen.toolchain import stack_bound
from thumbnet.tools.emulator import emulate

pytestmark = pytest.mark.usefixtures("qemu")
DEFAULT = LogMelParameters()


def run(name, samples, work_dir, parameters=DEFAULT, meter=False):
    """What the emulator says of a recording, and the columns."""
    model = LogMel(parameters, work_dir)
    image = build_image(model_folder(parameters, work_dir), board(name), work_dir)
    hops = samples[: samples.size // parameters.hop * parameters.hop].reshape(-1, parameters.hop)
    calls = [(hop.astype("<i2").tobytes(),) for hop in hops]
    emulation = emulate(image, board(name), model.manifest, calls, meter=meter, work_dir=work_dir)
    ready = [column for column, flag in emulation.outputs if any(flag)]
    columns = np.frombuffer(b"".join(ready), np.int8).reshape(-1, parameters.bands)
    np.testing.assert_array_equal(columns, model.features(samples))
    assert emulation.canaries_ok
    bound = stack_bound(model_folder(parameters, work_dir), board(name).target, work_dir)
    assert emulation.stack_bytes <= bound
    return emulation


@pytest.mark.parametrize("name", ["mps2-an386", "mps2-an505", "microbit"])
@pytest.mark.parametrize("parameters", [DEFAULT, LogMelParameters(window=400, hop=160)])
def test_every_core_gives_the_hosts_bytes(name, parameters, work_dir):
    sounds = hard_signals(parameters).values()
    run(name, np.concatenate([s[::2][:4000] for s in sounds]), work_dir, parameters)


def test_cycles_do_not_depend_on_the_sound(work_dir):
    """But for one branch of the logarithm in each band."""
    cycles = [
        run("mps2-an386", sound[:3200], work_dir, meter=True).cycles
        for sound in hard_signals(DEFAULT).values()
    ]
    assert max(cycles) - min(cycles) <= 8 * DEFAULT.bands


def test_the_front_end_keeps_to_its_budget():
    found = cost(LogMel(), "mps2-an386")
    assert found["equal_to_host"]
    assert found["cycles"] < 30_000
    assert found["cycles_per_second"] < 2_000_000
    assert found["state_bytes"] + found["scratch_bytes"] + found["stack_bytes"] < 3 * 1024
    assert found["flash"]["tables"] < 4096
    assert found["flash"]["code"] < 4096
    assert sum(found["stages"].values()) <= found["cycles"]
