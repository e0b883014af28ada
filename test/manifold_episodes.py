"""Episodes made up for tests of the manifold: successes run along a line, failures leave it."""

from dataclasses import replace

import numpy as np
from synthetic_episodes import LOW_DIM, make_episode

from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore
from salus_ros.recovery.manifold.settings import ManifoldSettings

KINDS = (FailureType.NONE,) * 20 + (FailureType.TIMEOUT, FailureType.DROP) * 5
LIMIT = 60
SMALL = ManifoldSettings(hidden=(16,), batches=120, batch_size=32, near_steps=2, last_steps=10)


def run(kind, length, seed):
    """State and action (T, 7); a failure leaves the line for good at its half."""
    rng = np.random.default_rng((7, seed))
    way = np.linspace(0.0, 1.0, length)[:, None]
    state = np.hstack([way * np.arange(1, 5), np.sin(3 * way), way**2, np.ones((length, 1))])
    action = np.hstack([np.full((length, 6), 0.3), np.where(way < 0.5, 1.0, -1.0)])
    if kind != FailureType.NONE:
        state[length // 2 :, 4] += 2.0
        action[length // 2 :, :3] = 0.0
    return state + 0.01 * rng.normal(size=state.shape), action


def make_runs(path, kinds=KINDS, spec=LOW_DIM, **changed):
    """A store of such episodes; a timeout lasts `LIMIT` steps, others fewer."""
    with EpisodeStore.create(path, spec) as store:
        for number, kind in enumerate(kinds):
            length = LIMIT if kind == FailureType.TIMEOUT else 40 + number % 7
            state, action = run(kind, length, number)
            made = make_episode(str(number), length, kind, spec, seed=number)
            store.append(replace(made, state=state, action=action, **changed))
    return path
