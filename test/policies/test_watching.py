"""A policy in its user's own loop, watched: the loop notices nothing, and the signals come out."""

import numpy as np
import pytest
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from other_policies import (
    observations,
    save_act,
    save_diffusion,
    save_pi,
    save_vqbet,
)

from benchmark.random_policies import make_pi_small
from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies.smolvla.loading import load_policy
from salus_ros.policies.watching import Watch

CAMERAS = dict.fromkeys(("act", "diffusion", "pi0", "pi05"), ("top", "gripper"))
CAMERAS |= {"vqbet": ("top",)}
NEVER = {
    **{kind: {"latent_ood"} for kind in ("smolvla", "pi0", "pi05")},
    "act": {"flow_curvature", "latent_ood"},
    "diffusion": {name for name in SIGNAL_NAMES if name.startswith("attention")} | {"latent_ood"},
    "vqbet": set(SIGNAL_NAMES)
    - {"sample_variance", "sample_spread_growth", "chunk_inconsistency"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, policy_folder):
    root = tmp_path_factory.mktemp("policies")
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("pi0", "pi05"):
            make_pi_small(patch.setattr, kind)
        yield {
            "smolvla": policy_folder,
            "act": save_act(root / "act"),
            "diffusion": save_diffusion(root / "diffusion"),
            "vqbet": save_vqbet(root / "vqbet"),
            **{kind: save_pi(root / kind, kind) for kind in ("pi0", "pi05")},
        }


class Loop:
    """A user's own loop; nothing of SALUS is in it but how the tiny SmolVLA is loaded."""

    def __init__(self, folders, kind):
        folder = folders[kind]
        if kind == "smolvla":
            loaded = load_policy(folder)
            self.policy, self.before, self.after = (
                loaded.policy,
                loaded.preprocess,
                loaded.postprocess,
            )
            rng = np.random.default_rng(0)
            names = [key.removeprefix("observation.images.") for key in loaded.image_keys]
            self.given = [
                (
                    {n: rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for n in names},
                    rng.standard_normal(7).astype(np.float32),
                )
                for _ in range(8)
            ]
            return
        config = PreTrainedConfig.from_pretrained(folder)
        self.policy = get_policy_class(config.type).from_pretrained(folder, config=config)
        self.before, self.after = make_pre_post_processors(config, pretrained_path=str(folder))
        self.given = observations(CAMERAS[kind])

    def batch(self, number):
        images, state = self.given[number]
        batch = {"observation.state": torch.from_numpy(state), "task": "tidy"}
        for name, image in images.items():
            pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
            batch[f"observation.images.{name}"] = pixels
        batch = self.before(batch)
        batch.pop("action", None)
        return batch

    def select(self, steps=7):
        torch.manual_seed(3)
        self.policy.reset()
        with torch.inference_mode():
            return [self.after(self.policy.select_action(self.batch(t))) for t in range(steps)]

    def plan(self, calls=2):
        torch.manual_seed(3)
        self.policy.reset()
        return [self.after(self.policy.predict_action_chunk(self.batch(t))) for t in range(calls)]


@pytest.fixture(params=["smolvla", "act", "diffusion", "vqbet", "pi0", "pi05"])
def loop(folders, request):
    loop = Loop(folders, request.param)
    loop.kind = request.param
    return loop


def valid(step):
    return {name for name, there in zip(SIGNAL_NAMES, step.said.valid, strict=True) if there}


def test_the_loop_gets_what_it_got_and_the_signals_come_out(loop):
    attributes = set(loop.policy.__dict__)
    forwards = [module.__dict__.get("forward") for module in loop.policy.modules()]
    expected, after = loop.select(), torch.get_rng_state()
    seen = []
    with Watch(loop.policy, loop.after, on_step=seen.append, num_samples=3) as watch:
        got = loop.select()
    assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))  # to the bit
    assert torch.equal(torch.get_rng_state(), after)
    assert set(loop.policy.__dict__) == attributes
    assert [module.__dict__.get("forward") for module in loop.policy.modules()] == forwards
    assert not watch.problems
    assert [one.step for one in seen] == list(range(7))
    fresh = [one for one in seen if one.said.fresh]
    assert len(fresh) == watch.replans >= 2
    assert NEVER[loop.kind] <= set(watch.unavailable)
    assert valid(seen[-1]) == set(SIGNAL_NAMES) - set(watch.unavailable)
    for one, action in zip(seen, got, strict=True):
        np.testing.assert_allclose(one.said.action, action[0].numpy(), atol=1e-3)
        assert np.isfinite(one.said.inference_ms) == one.said.fresh
    assert fresh[0].said.plans.shape[0] == (3 if watch.spec.stochastic else 1)


# VQ-BeT has no chunk without the queues that select_action fills.
@pytest.mark.parametrize("loop", ["smolvla", "act", "diffusion", "pi0", "pi05"], indirect=True)
def test_a_loop_of_chunks_is_watched_too(loop):
    steps = 2 if loop.kind == "diffusion" else 1  # observations of a call

    def given(number, own=loop.batch):
        batches = [own(number)] * steps
        if steps == 1:
            return batches[0]
        tensors = [k for k, v in batches[0].items() if isinstance(v, torch.Tensor) and v.ndim > 1]
        return {key: torch.stack([one[key] for one in batches], dim=1) for key in tensors}

    loop.batch = given
    expected, seen = loop.plan(), []
    with Watch(loop.policy, loop.after, on_step=seen.append, replan_every=3) as watch:
        got = loop.plan()
    assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))
    assert not watch.problems
    assert [one.step for one in seen] == [0, 3]
    length = got[1].shape[1]
    np.testing.assert_allclose(seen[1].said.plans[0, :length], got[1][0].numpy(), atol=1e-3)
    assert {"chunk_inconsistency", "latent_drift"} <= valid(seen[1])
    with Watch(loop.policy, on_step=seen.append):
        loop.plan()  # how far the calls are apart is not said
    assert "chunk_inconsistency" not in valid(seen[-1])


def test_episodes_begin_with_a_reset_and_repeat_from_the_seed(folders):
    loop, seen = Loop(folders, "act"), []
    with Watch(loop.policy, on_step=seen.append) as watch:
        loop.select(5)
        loop.select(5)
        watch.end()
        loop.policy.select_action(loop.batch(0))
    assert [(one.episode, one.step) for one in seen] == [
        *((0, t) for t in range(5)),
        *((1, t) for t in range(5)),
        (2, 0),
    ]
    assert (seen[-1].said.plan_step, valid(seen[-1])) == (-1, set())  # of a plan nobody saw
    assert np.isnan(seen[5].said.signals[SIGNAL_NAMES.index("chunk_inconsistency")])
    again = []
    with Watch(loop.policy, on_step=again.append):
        loop.select(5)
    for one, other in zip(seen, again, strict=False):
        np.testing.assert_array_equal(one.said.signals, other.said.signals)
        np.testing.assert_array_equal(one.said.plans, other.said.plans)


def test_what_fails_on_this_side_never_reaches_the_loop(folders, caplog):
    loop = Loop(folders, "act")
    expected = loop.select(5)

    def broken(_step):
        raise ValueError("a callback of mine")

    with Watch(loop.policy, on_step=broken) as watch:
        got = loop.select(5)
    assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))
    assert watch.problems == {"ValueError: a callback of mine": 5}
    assert caplog.text.count("a callback of mine") == 1


def test_several_robots_at_once_are_refused(folders, caplog):
    loop = Loop(folders, "act")
    batch = {key: value.repeat(2, *[1] * (value.ndim - 1)) for key, value in loop.batch(0).items()
             if isinstance(value, torch.Tensor)}  # fmt: skip
    with Watch(loop.policy) as watch:
        chunk = loop.policy.predict_action_chunk(batch)
    assert chunk.shape == (2, 10, 5)
    assert "its chunk is (2, 10, 5); a watch follows one robot" in caplog.text
    assert watch.problems == {"a chunk that is not of one robot": 1}


def test_a_chunk_that_the_tap_does_not_repeat_is_known_as_a_chunk_alone(folders, caplog):
    """As with real-time chunking, which guides the denoising."""
    loop, seen = Loop(folders, "act"), []
    own = loop.policy.predict_action_chunk
    mine = loop.policy.predict_action_chunk = lambda batch: own(batch) + 0.1
    with Watch(loop.policy, loop.after, on_step=seen.append) as watch:
        got = loop.select(5)
    assert watch.problems["a chunk that its tap does not repeat"] == 2
    assert "planned otherwise than its tap does" in caplog.text
    assert valid(seen[-1]) == {"chunk_inconsistency"}
    assert seen[-1].said.plans.shape == (1, 10, 5)
    np.testing.assert_allclose(seen[-1].said.action, got[-1][0].numpy(), atol=1e-5)
    assert loop.policy.predict_action_chunk is mine  # it is put back


def test_what_cannot_be_watched_is_refused(folders):
    loop = Loop(folders, "act")
    with pytest.raises(PolicyError, match="a Linear cannot be watched"):
        Watch(torch.nn.Linear(1, 1))
    with pytest.raises(ConfigError, match="num_samples is 0"):
        Watch(loop.policy, num_samples=0)
    with (
        Watch(loop.policy),
        pytest.raises(ConfigError, match="watched already"),
        Watch(loop.policy),
    ):
        pass
    assert "select_action" not in loop.policy.__dict__
