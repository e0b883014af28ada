"""Handing out seeds: workers are played by the test, at the other end of their pipes."""

import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest
from recordings import CONFIG
from synthetic_episodes import make_episode

from salus_ros.collection.workers import DONE, LATER, Ready, WorkerPool, _Worker
from salus_ros.core.errors import SalusError
from salus_ros.episodes import Episode


class Process:
    """What a pool asks of a process that has ended."""

    exitcode = -9

    def join(self, timeout: float | None = None) -> None:
        pass

    terminate = join

    def is_alive(self) -> bool:
        return False


class PlayedPool(WorkerPool):
    """A pool whose workers say they are ready, and then what the test says."""

    def __init__(self, seeds: range, workers: int, **options: object) -> None:
        super().__init__(replace(CONFIG, **options), seeds, workers)
        self.ends: list[Connection] = []

    def _start(self, deaths: int = 0) -> _Worker:
        ours, theirs = Pipe()
        theirs.send(Ready("policy", 4))
        self.ends.append(theirs)
        return _Worker(Process(), ours, deaths=deaths)  # type: ignore[arg-type]

    def seed_for(self, worker: int) -> int | str:
        """What a worker gets that asks for a seed."""
        self.ends[worker].send(None)
        while not self.ends[worker].poll():
            self._receive()
        return self.ends[worker].recv()


def an_episode(seed: int) -> Episode:
    episode = make_episode()
    return replace(episode, meta=replace(episode.meta, seed=seed))


@pytest.fixture
def played() -> Iterator[PlayedPool]:
    """Two workers with two environments each; with images, so that little may run ahead."""
    with PlayedPool(range(20), 2, envs=2, images=True) as pool:
        assert pool.start() == Ready("policy", 4)
        yield pool


def test_what_runs_ahead_is_bounded_and_the_first_one_goes_on(played):
    slow, fast = 0, 1
    assert played.seed_for(slow) == 0
    for seed in range(1, 8):  # with seed 0: two for each environment
        assert played.seed_for(fast) == seed
        played.ends[fast].send((an_episode(seed), 1.0))
    assert played.seed_for(slow) == LATER  # it has seed 0 to go on with
    played.ends[fast].send(None)
    while not played._workers[fast].waiting:
        played._receive()
    assert not played.ends[fast].poll()  # nothing else to do, so it waits
    played.ends[slow].send((an_episode(0), 1.0))
    episodes = played.episodes()
    assert [next(episodes).meta.seed for _ in range(2)] == [0, 1]
    assert played.ends[fast].recv() == 8


def test_episodes_come_in_the_order_of_their_seeds():
    with PlayedPool(range(3), 2) as pool:
        pool.start()
        assert [pool.seed_for(0), pool.seed_for(1), pool.seed_for(1)] == [0, 1, 2]
        assert pool.seed_for(0) == DONE
        for worker, seed in ((1, 2), (0, 0), (1, 1)):
            pool.ends[worker].send((an_episode(seed), 1.0))
        assert [episode.meta.seed for episode in pool.episodes()] == [0, 1, 2]


def test_a_worker_that_dies_while_it_sends_is_replaced_with_its_seeds_first(played):
    assert [played.seed_for(0), played.seed_for(1), played.seed_for(1)] == [0, 1, 2]
    dying = played.ends[1]
    os.write(dying.fileno(), struct.pack("!i", 1000) + b"the first bytes")
    dying.close()
    while not played.restarts:
        played._receive()
    assert played.seed_for(0) == 1
    assert played.seed_for(2) == 2
    assert played.seed_for(2) == 3


def test_a_worker_that_ends_when_there_is_no_more_is_not_missed():
    with PlayedPool(range(1), 1) as pool:
        pool.start()
        assert [pool.seed_for(0), pool.seed_for(0)] == [0, DONE]
        pool.ends[0].send((an_episode(0), 1.0))
        pool.ends[0].close()
        assert len(list(pool.episodes())) == 1
        assert pool.restarts == 0


def test_what_a_worker_could_not_do_is_raised_here(played):
    played.ends[0].send(SalusError("no EGL"))
    with pytest.raises(SalusError, match="no EGL"):
        list(played.episodes())
