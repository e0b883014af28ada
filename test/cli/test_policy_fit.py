"""`salus doctor --policy --store`: what of a policy and of recorded episodes goes together."""

import json
from dataclasses import replace

import numpy as np
from safetensors.numpy import load_file
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode

from salus_ros.cli.policy_fit import fit_checks
from salus_ros.episodes import EpisodeStore
from salus_ros.policies.tiny import SHIPPED

(STATISTICS,) = SHIPPED.glob("policy_preprocessor_step_*.safetensors")
NAMES = tuple(f"joint{i}" for i in range(7))
SPEC = replace(LOW_DIM, state_names=NAMES)


def write(path, spec=SPEC, changed=lambda values: values, **meta):
    """A store whose states are like those that the shipped policy was trained on."""
    known = load_file(STATISTICS)
    rng = np.random.default_rng(0)
    episode = make_episode("0", 200, spec=spec, **meta)
    drawn = {}
    for column, feature in (("state", "observation.state"), ("action", "action")):
        size = getattr(spec, f"{column}_dim")
        noise = rng.normal(size=(200, size))
        drawn[column] = known[f"{feature}.mean"][:size] + known[f"{feature}.std"][:size] * noise
    drawn["state"] = changed(drawn["state"])
    with EpisodeStore.create(path, spec) as store:
        store.append(replace(episode, **drawn))
    return path


def states(checks):
    return {check.name: check.state for check in checks}


def one(checks, name):
    return next(check for check in checks if check.name == name)


def test_what_fits_is_ok(tmp_path):
    found = states(fit_checks(SHIPPED, write(tmp_path / "a.zarr")))
    assert found == {
        "cameras": "note",  # the store has none
        "rate": "note",  # a checkpoint does not say its own
        "instructions": "ok",
        "state normalisation": "ok",
        "state order": "ok",
        "action normalisation": "ok",
        "action order": "ok",
    }


def test_degrees_are_told_from_radians(tmp_path):
    checks = fit_checks(SHIPPED, write(tmp_path / "a.zarr", changed=np.rad2deg))
    check = one(checks, "state normalisation")
    assert check.state == "missing"
    assert "degrees in the store, radians in the policy's training?" in check.found


def test_joints_in_another_order_are_named(tmp_path):
    checks = fit_checks(SHIPPED, write(tmp_path / "a.zarr", changed=lambda v: v[:, ::-1]))
    check = one(checks, "state order")
    assert check.state == "missing"
    assert check.found.endswith(", ".join(NAMES[::-1]))


def test_values_that_the_policy_never_saw_are_named(tmp_path):
    def moved(values):
        return values + np.eye(7)[2] * 100

    check = one(
        fit_checks(SHIPPED, write(tmp_path / "a.zarr", changed=moved)), "state normalisation"
    )
    assert check.state == "missing"
    assert "joint2 in 100%" in check.found


def test_cameras_and_sizes_that_do_not_fit_are_named(tmp_path):
    spec = replace(WITH_IMAGES, state_dim=6)
    checks = fit_checks(SHIPPED, write(tmp_path / "a.zarr", spec=spec, task=""))
    assert states(checks)["cameras"] == "missing"
    assert "front, side, wrist" in one(checks, "cameras").found
    assert one(checks, "state size").found == "the policy has 7 values, the store 6"
    assert states(checks)["instructions"] == "note"


def test_the_doctor_says_it(salus, tmp_path):
    path = write(tmp_path / "a.zarr", changed=np.rad2deg)
    code, said, _ = salus("doctor", "--policy", SHIPPED, "--store", path, "--json")
    assert code == 1
    found = {check["name"]: check["state"] for check in json.loads(said)["checks"]}
    assert found["state normalisation"] == "missing"
    assert found["policy"] == found["store"] == "ok"
