"""The runner: held and fresh signals, causality, no leaks between episodes, clear refusals."""

import json
import math
import shutil

import numpy as np
import pytest

from salus_ros.core.errors import ConfigError, ObservationError, PolicyError
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies.checkpoint import SAMPLING, own_noise_memory, save_noise_memory
from salus_ros.policies.reference import LatentReference
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.tiny import shipped_policy

TASK = "put the red cube in the bin"
NEEDS_A_PREVIOUS = ["attention_shift", "chunk_inconsistency", "latent_drift"]


@pytest.fixture(scope="module")
def runner(policy_folder):
    return PolicyRunner(policy_folder, num_samples=2, replan_every=3)


def play(runner, observations, seed=0):
    runner.reset(seed)
    return [runner.step(i, s, TASK, t) for t, (i, s) in enumerate(observations)]


@pytest.fixture
def observations(observation):
    images, state = observation
    return [({n: np.roll(i, t, axis=0) for n, i in images.items()}, state + t) for t in range(7)]


def test_what_needs_a_previous_replan_is_not_valid_at_first_and_then_is(runner, observations):
    steps = play(runner, observations)
    for name in SIGNAL_NAMES:
        column = SIGNAL_NAMES.index(name)
        if name == "latent_ood":  # no reference was fitted
            assert not any(s.valid[column] for s in steps)
            continue
        assert steps[0].valid[column] == (name not in NEEDS_A_PREVIOUS), name
        assert steps[3].valid[column], name
    for step in steps:
        np.testing.assert_array_equal(step.valid, np.isfinite(step.signals))


def test_between_replans_signals_are_held_and_not_fresh(runner, observations):
    steps = play(runner, observations)
    assert [s.fresh for s in steps] == [True, False, False, True, False, False, True]
    np.testing.assert_array_equal(steps[1].signals, steps[0].signals)
    np.testing.assert_array_equal(steps[2].embedding, steps[0].embedding)
    assert np.isnan(steps[1].inference_ms)
    assert steps[3].inference_ms > 0


def test_the_plan_in_force_is_whole_and_holds_what_is_executed(runner, observations):
    steps = play(runner, observations)
    assert [s.plan_step for s in steps] == [0, 1, 2, 0, 1, 2, 0]
    for step, replan in zip(steps, np.repeat([0, 3, 6], 3), strict=False):
        assert step.plans.shape == (2, 16, 7)
        assert step.plans.dtype == np.float32
        np.testing.assert_array_equal(step.plans, steps[replan].plans)
        np.testing.assert_array_equal(step.plans[0, step.plan_step], step.action)
        np.testing.assert_array_equal(step.visual_embedding, steps[replan].visual_embedding)
        np.testing.assert_array_equal(step.expert_embedding, steps[replan].expert_embedding)
    assert steps[0].visual_embedding.shape == (len(runner.cameras), runner.visual_dim)
    assert steps[0].expert_embedding.shape == (runner.embedding_dim,)
    assert steps[0].visual_embedding.dtype == steps[0].expert_embedding.dtype == np.float16
    assert np.isfinite(steps[0].visual_embedding).all()
    assert np.isfinite(steps[0].expert_embedding).all()
    assert not np.array_equal(steps[0].visual_embedding, steps[3].visual_embedding)
    assert not np.array_equal(steps[0].expert_embedding, steps[0].embedding)


def test_changing_the_future_does_not_change_the_past(runner, observations):
    changed = observations[:4] + [(i, s - 5) for i, s in observations[4:]]
    for a, b in zip(play(runner, observations)[:4], play(runner, changed)[:4], strict=True):
        np.testing.assert_array_equal(a.signals, b.signals)
        np.testing.assert_array_equal(a.action, b.action)
    assert not np.array_equal(
        play(runner, observations)[6].signals, play(runner, changed)[6].signals
    )


def test_nothing_leaks_from_one_episode_into_the_next(runner, observations):
    first = play(runner, observations)
    play(runner, observations[::-1], seed=9)
    for a, b in zip(first, play(runner, observations), strict=True):
        np.testing.assert_array_equal(a.signals, b.signals)
        np.testing.assert_array_equal(a.action, b.action)


def test_the_seed_decides_the_noise(runner, observations):
    a, b = play(runner, observations[:1], 1)[0], play(runner, observations[:1], 2)[0]
    assert not np.array_equal(a.action, b.action)


def test_a_runner_started_in_the_middle_acts_alike(policy_folder, runner, observations):
    whole = play(runner, observations)
    again = PolicyRunner(policy_folder, num_samples=2, replan_every=3)
    again.reset(0)
    images, state = observations[3]
    late = again.step(images, state, TASK, 3)
    np.testing.assert_allclose(late.action, whole[3].action, atol=1e-5)
    assert not late.valid[SIGNAL_NAMES.index("latent_drift")]


def test_noise_that_is_remembered_for_ever_makes_the_plan_a_function_of_what_is_seen(
    policy_folder, observations
):
    images, state = observations[0]
    runner = PolicyRunner(policy_folder, num_samples=2, replan_every=3, noise_memory=math.inf)
    runner.reset(4)
    first, second = (runner.step(images, state, TASK, step).plans for step in (0, 3))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(*first)  # the samples differ
    runner.reset(5)
    assert not np.array_equal(runner.step(images, state, TASK, 0).plans, first)


def test_noise_is_standard_normal_and_forgotten_with_its_time_constant(policy_folder):
    runner = PolicyRunner(policy_folder, num_samples=64, replan_every=3, noise_memory=6.0)
    first, later = runner._noise(0), runner._noise(6)
    for noise in (first, later):
        assert noise.dtype == np.float32
        np.testing.assert_allclose((noise.mean(), noise.std()), (0.0, 1.0), atol=0.05)
    assert np.corrcoef(first.ravel(), later.ravel())[0, 1] == pytest.approx(np.exp(-1), abs=0.05)
    again = PolicyRunner(policy_folder, num_samples=64, replan_every=3, noise_memory=6.0)
    np.testing.assert_array_equal(again._noise(6), later)  # begun in the middle
    np.testing.assert_array_equal(again._noise(0), first)  # and back


def test_the_folder_says_how_long_noise_is_remembered(policy_folder, tmp_path):
    folder = copy(policy_folder, tmp_path)
    fresh = PolicyRunner(folder, num_samples=2)._noise(6)
    save_noise_memory(folder, 6.0)
    own = PolicyRunner(folder, num_samples=2)._noise(6)
    given = PolicyRunner(policy_folder, num_samples=2, noise_memory=6.0)._noise(6)
    np.testing.assert_array_equal(own, given)
    np.testing.assert_array_equal(
        PolicyRunner(folder, num_samples=2, noise_memory=0)._noise(6), fresh
    )
    save_noise_memory(folder, math.inf)
    assert "Infinity" not in (folder / SAMPLING).read_text()  # which is no JSON
    assert own_noise_memory(folder) == math.inf
    for wrong in ('"six"', "-1", "true", "null"):
        (folder / SAMPLING).write_text(f'{{"noise_memory": {wrong}}}')
        with pytest.raises(PolicyError, match="must be a number of steps"):
            PolicyRunner(folder, num_samples=2)


@pytest.mark.parametrize("memory", [-1.0, math.nan])
def test_a_noise_memory_that_is_none_is_refused(policy_folder, memory):
    with pytest.raises(ConfigError, match="allowed are 0 steps and more"):
        PolicyRunner(policy_folder, noise_memory=memory)


def test_a_single_sample_has_no_spread(policy_folder, observation):
    images, state = observation
    alone = PolicyRunner(policy_folder, num_samples=1).step(images, state, TASK, 0)
    for name in ("sample_variance", "sample_spread_growth", "latent_dispersion"):
        assert not alone.valid[SIGNAL_NAMES.index(name)], name
    assert alone.valid[SIGNAL_NAMES.index("latent_norm")]


def test_with_a_reference_latent_ood_is_the_mahalanobis_distance(
    policy_folder, tmp_path, observation
):
    folder = tmp_path / "with_reference"
    shutil.copytree(policy_folder, folder)
    width = PolicyRunner(policy_folder).embedding_dim
    reference = LatentReference.fit(np.random.default_rng(0).standard_normal((500, width)))
    reference.save(folder)
    images, state = observation
    step = PolicyRunner(folder).step(images, state, TASK, 0)
    expected = reference.distance(step.embedding.astype(float))
    assert step.signals[SIGNAL_NAMES.index("latent_ood")] == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(
    ("changes", "samples", "every", "never"),
    [
        ({}, 2, 3, {"latent_ood"}),
        ({"n_action_steps": 16}, 2, 3, {"latent_ood"}),  # what is executed ends at a replan
        (
            {"n_action_steps": 16},
            2,
            16,
            {"latent_ood", "sample_spread_growth", "chunk_inconsistency"},
        ),
        (
            {},
            1,
            3,
            {"latent_ood", "sample_variance", "sample_spread_growth", "latent_dispersion"},
        ),
        ({"num_steps": 1}, 2, 3, {"latent_ood", "flow_curvature"}),
    ],
)
def test_what_it_says_is_unavailable_is_what_never_comes(
    policy_folder, tmp_path, observation, changes, samples, every, never
):
    folder = copy(policy_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    runner = PolicyRunner(folder, num_samples=samples, replan_every=every)
    images, state = observation
    seen = np.zeros(12, bool)
    for replan in range(3):
        seen |= runner.step(images, state + replan, TASK, replan * every).valid
    assert {name for name, came in zip(SIGNAL_NAMES, seen, strict=True) if not came} == never
    assert set(runner.unavailable) == never
    assert all(runner.unavailable.values())
    assert runner.sibling().unavailable == runner.unavailable


@pytest.mark.parametrize(
    ("env_id", "name", "remembers"),
    [
        ("salus/PickPlace-v0", "tiny_smolvla", False),
        ("salus/PickPlace-v1", "tiny_smolvla_v1", True),
        ("salus/MetaWorldSmall-v3", "tiny_smolvla_metaworld", True),
    ],
)
def test_every_signal_of_a_shipped_policy_exists(env_id, name, remembers):
    runner = PolicyRunner(shipped_policy(env_id))
    assert runner.unavailable == {}
    assert runner.policy_id.rpartition("-")[0] == name
    assert (own_noise_memory(shipped_policy(env_id)) > 0) == remembers


def test_bad_observations_are_refused_with_what_is_needed(runner, observation):
    images, state = observation
    runner.reset(0)
    with pytest.raises(ObservationError, match="no image of wrist: the policy needs front"):
        runner.step({k: v for k, v in images.items() if k != "wrist"}, state, TASK, 0)
    with pytest.raises(ObservationError, match="'side' is float64"):
        runner.step(images | {"side": images["side"] / 255.0}, state, TASK, 0)
    with pytest.raises(ObservationError, match="the policy takes 7 finite values"):
        runner.step(images, state[:6], TASK, 0)
    with pytest.raises(ObservationError, match="nan"):
        runner.step(images, np.where(np.arange(7) == 3, np.nan, state), TASK, 0)


def test_replanning_later_than_the_chunk_allows_is_refused(policy_folder):
    with pytest.raises(ConfigError, match="replan_every is 7; this policy executes at most 6"):
        PolicyRunner(policy_folder, replan_every=7)


def copy(policy_folder, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(policy_folder, folder)
    return folder


def test_a_folder_that_is_no_policy_is_refused(tmp_path, policy_folder):
    with pytest.raises(PolicyError, match="no policy folder"):
        PolicyRunner(tmp_path / "nowhere")
    with pytest.raises(PolicyError, match=r"lacks config\.json and model\.safetensors"):
        PolicyRunner(tmp_path)
    folder = copy(policy_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"type": "act"}))
    with pytest.raises(PolicyError, match=r"cannot (read|build)"):
        PolicyRunner(folder)


def test_truncated_weights_are_refused(tmp_path, policy_folder):
    folder = copy(policy_folder, tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(PolicyError, match=r"model\.safetensors must be whole"):
        PolicyRunner(folder)


def test_a_checkpoint_that_names_code_to_import_is_refused(tmp_path, policy_folder):
    folder = copy(policy_folder, tmp_path)
    path = folder / "policy_preprocessor.json"
    content = json.loads(path.read_text())
    content["steps"].append({"class": "os.system", "config": {}})
    path.write_text(json.dumps(content))
    with pytest.raises(PolicyError, match=r"os\.system.*never code named by a checkpoint"):
        PolicyRunner(folder)


def test_a_checkpoint_without_its_normalisation_is_refused(tmp_path, policy_folder):
    folder = copy(policy_folder, tmp_path)
    (folder / "policy_postprocessor.json").unlink()
    with pytest.raises(PolicyError, match="migrate_policy_normalization"):
        PolicyRunner(folder)
