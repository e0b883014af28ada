"""A program at the other end of the pipe that ends, hangs, or answers nonsense, is named."""

import sys
from pathlib import Path

import mujoco
import pytest

from salus_ros.core.errors import SimulatorError
from salus_ros.worlds.mujoco.arm import AT_HOME, JOINT_NAMES
from salus_ros.worlds.mujoco.scene import load_scene
from salus_ros.worlds.physics import COMPLIANT
from salus_ros.worlds.physx import engine as engines
from salus_ros.worlds.physx.application import Application

HOME = dict(zip(JOINT_NAMES, AT_HOME, strict=True))

BEGIN = f"""#!{sys.executable}
import sys, time
from multiprocessing.connection import Connection
pipe = Connection(int(sys.argv[-2]))
print("Kit: the last that was said", flush=True)
"""


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Make an engine whose program is some lines of Python, and that waits no longer than 2 s."""
    made = []
    monkeypatch.setattr(engines, "write_usd", lambda model, home, out: out.touch())
    monkeypatch.setattr(engines, "STEP_S", 2.0)

    def make(lines, start_s=20.0):
        program = tmp_path / "program"
        program.write_text(BEGIN + lines)
        program.chmod(0o755)
        application = Application("The Sim", "no.module", lambda: Path(program), (), start_s)
        model = load_scene(COMPLIANT)
        data = mujoco.MjData(model)
        made.append(engines.PhysxEngine(model, data, HOME, application, own_images=True))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("sys.exit(1)", "The Sim has ended"),
        ("pipe.send(('error', 'no GPU'))", "The Sim says no GPU"),
        ("pipe.send_bytes(b'hello'); time.sleep(60)", "The Sim answers what cannot be read"),
        ("pipe.send('ready'); time.sleep(60)", "The Sim answers what cannot be read"),
    ],
)
def test_a_program_that_does_not_begin_is_named_with_what_it_said_last(engine, lines, said):
    with pytest.raises(SimulatorError, match=rf"{said}.*; start the world anew\. Kit: the last"):
        engine(lines)


def test_a_program_that_hangs_as_it_starts_is_ended(engine):
    with pytest.raises(SimulatorError, match="The Sim has not answered for 2 s"):
        engine("time.sleep(60)", start_s=2.0)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("pipe.recv(); sys.exit(0)", "has ended"),
        ("pipe.recv(); time.sleep(60)", "has not answered for 2 s"),
        ("pipe.recv(); pipe.send(('ok', (1, 2))); time.sleep(60)", "a form that is not its own"),
        ("pipe.recv(); pipe.send(('ok', None)); time.sleep(60)", "a form that is not its own"),
    ],
)
def test_a_program_that_fails_in_a_step_is_named_and_the_state_kept(engine, lines, said):
    moving = engine("pipe.send(('ok', 'ready'))\n" + lines)
    before = moving._data.qpos.copy()
    with pytest.raises(SimulatorError, match=f"The Sim .*{said}"):
        moving.step()
    assert (moving._data.qpos == before).all()
    with pytest.raises(SimulatorError, match="has ended"):
        moving.step()


def test_images_that_are_none_are_named(engine):
    moving = engine("pipe.send(('ok', 'ready')); pipe.recv(); pipe.send(('ok', {}))")
    with pytest.raises(SimulatorError, match="gives of the camera front no image, not"):
        moving.look()
