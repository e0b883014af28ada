"""A pool of real processes: order, bounds, and whatever may end on either side."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest

from salus_ros.core.errors import ConfigError, SalusError
from salus_ros.core.pool import Desk, Lost, Pool

DEADLINE_S = 60.0
PIECES = 3


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def pieces_of(task):
    return [(task, f"{task}.{place}") for place in range(PIECES)]


def in_pieces(desk: Desk):
    for task in desk:
        for place in range(PIECES):
            desk.send(task, f"{task}.{place}")
        desk.done(task)


def beside_each_other(room, desk: Desk):
    """Keeps `room` tasks going and ends the youngest first; every other answer may be None."""
    going, tasks, more = [], iter(desk), True
    while going or more:
        while more and len(going) < room:
            task = next(tasks, "none")
            more = task != "none"
            if task is None or not more:
                break
            going.append(task)
        if going:
            task = going.pop()
            desk.send(task, len(going))
            desk.done(task)


def first_is_slow(folder: Path, desk: Desk):
    """Task 0 waits for a file; each task that is begun is seen in the folder."""
    for task in desk:
        (folder / f"begun{task}").touch()
        if task == 0:
            wait_for((folder / "go").exists, "leave to go on")
        desk.send(task, "piece")
        (folder / f"sent{task}").touch()
        desk.done(task)


def dies_once(folder: Path, desk: Desk):
    """The first that gets to task 2 kills itself in the middle of it."""
    for task in desk:
        for place in range(PIECES):
            desk.send(task, f"{task}.{place}")
            if (task, place) == (2, 1) and not (folder / "died").exists():
                (folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        desk.done(task)


def dies_when_the_other_has_left(folder: Path, desk: Desk):
    """Task 0 kills its first worker once the other one was told that there is nothing more.

    Its successor asks for a task after that one has left.
    """
    if (folder / "died").exists():
        wait_for((folder / "gone").exists, "the other worker's end")
        time.sleep(0.3)
    for task in desk:
        if task == 0 and not (folder / "died").exists():
            wait_for((folder / "left").exists, "the other worker to be dismissed")
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        desk.send(task, "piece")
        desk.done(task)
    (folder / "left").touch()
    wait_for((folder / "died").exists, "the first worker's death")
    time.sleep(0.3)  # its task is back by then
    (folder / "gone").touch()


def dies(desk: Desk):
    for _ in desk:  # none where the other worker has the last task
        os.kill(os.getpid(), signal.SIGKILL)


def dies_before_it_asks(desk: Desk):
    os._exit(7)


def leaves_early(desk: Desk):
    next(iter(desk))


def refuses(bad, kind, desk: Desk):
    for task in desk:
        desk.send(task, "piece")
        if task == bad:
            raise kind(f"task {task} is no good")
        desk.done(task)


def cannot_begin(desk: Desk):
    raise ConfigError("no policy here")


def says_how_far(folder: Path, desk: Desk):
    for task in desk:
        if task == 0:
            wait_for((folder / "go").exists, "leave to go on")
        desk.progress(task, 1, "half")
        desk.done(task)


def tells_its_surroundings(desk: Desk):
    for task in desk:
        blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        desk.send(task, (os.environ["OMP_NUM_THREADS"], blocked))
        desk.done(task)


def run(work, tasks, workers=2, *, restart=False, ahead=4, **options):
    with Pool(work, tasks, workers, restart=restart, ahead=ahead, **options) as pool:
        processes = pool.processes
        found = list(pool.results())
    assert not any(process.is_alive() for process in processes)
    return found


@pytest.mark.parametrize(("workers", "restart"), [(1, False), (3, False), (2, True)])
def test_pieces_come_in_the_order_of_the_tasks(workers, restart):
    tasks = ["b", "c", "a", "e", "d"]
    expected = [piece for task in tasks for piece in pieces_of(task)]
    assert run(in_pieces, tasks, workers, restart=restart) == expected


def test_no_task_needs_no_worker():
    with Pool(in_pieces, [], 2, restart=False, ahead=1) as pool:
        assert pool.processes == []
        assert list(pool.results()) == []


def test_equal_tasks_are_refused():
    with pytest.raises(ValueError, match="equal"):
        Pool(in_pieces, [1, 1], 2, restart=False, ahead=1)


@pytest.mark.parametrize(("ahead", "workers"), [(1, 1), (2, 1), (7, 1), (2, 2), (7, 2)])
def test_a_worker_with_many_tasks_goes_on_with_them_where_it_gets_no_other(ahead, workers):
    found = run(partial(beside_each_other, 3), range(20), workers, restart=True, ahead=ahead)
    assert [task for task, _ in found] == list(range(20))
    if workers == 1:
        assert max(left for _, left in found) == min(ahead, 3) - 1


def test_what_is_ahead_is_bounded_by_a_count(tmp_path):
    with Pool(partial(first_is_slow, tmp_path), range(20), 2, restart=False, ahead=4) as pool:
        while not any(worker.waiting and not worker.tasks for worker in pool._workers):
            pool._receive()
            pool._serve()
        assert {path.name for path in tmp_path.glob("begun*")} == {f"begun{i}" for i in range(4)}
        (tmp_path / "go").touch()
        assert [task for task, _ in pool.results()] == list(range(20))


def test_what_is_ahead_is_bounded_by_bytes(tmp_path):
    taken = []

    def size(piece):
        taken.append(piece)
        return 10

    work = partial(first_is_slow, tmp_path)
    options = {"restart": False, "ahead": 20, "size": size, "held_bytes": 30}
    with Pool(work, range(20), 2, **options) as pool:
        while pool._held < 30:
            pool._receive()
            pool._serve()
        (tmp_path / "go").touch()  # only the worker of task 0 is listened to until it is over
        results = pool.results()
        assert next(results) == (0, "piece")
        assert len(taken) <= 5  # 30 bytes, the piece of task 0 and one that was sent meanwhile
        assert [task for task, _ in results] == list(range(1, 20))
        assert pool._held == 0


def test_a_worker_that_was_killed_is_started_again_and_nothing_comes_twice(tmp_path):
    work = partial(dies_once, tmp_path)
    with Pool(work, range(6), 2, restart=True, ahead=4, size=len, held_bytes=100) as pool:
        assert list(pool.results()) == [piece for task in range(6) for piece in pieces_of(task)]
        assert pool.restarts == 1
        assert pool._held == 0


def test_a_worker_that_was_dismissed_is_none_that_died(tmp_path):
    work = partial(dies_when_the_other_has_left, tmp_path)
    with Pool(work, range(3), 2, restart=True, ahead=4) as pool:
        assert [task for task, _ in pool.results()] == [0, 1, 2]
        assert pool.restarts == 1


def test_where_it_is_not_started_again_its_task_ends_with_that_and_the_others_go_on(tmp_path):
    found = run(partial(dies_once, tmp_path), range(6), 2)
    assert [piece for piece in found if piece[0] != 2] == [
        piece for task in (0, 1, 3, 4, 5) for piece in pieces_of(task)
    ]
    assert [piece for piece in found if piece[0] == 2] == [*pieces_of(2)[:2], (2, Lost(-9))]


def test_a_task_whose_every_worker_dies_is_lost_for_each(tmp_path):
    assert run(dies, range(5), 2) == [(task, Lost(-9)) for task in range(5)]


@pytest.mark.parametrize("restart", [False, True])
def test_workers_that_die_before_they_ask_are_given_up(restart):
    with pytest.raises(SalusError, match=r"died 3 times in a row.*exit code 7.*buy memory"):
        run(dies_before_it_asks, range(5), 2, restart=restart, advice="buy memory")


def test_workers_that_die_again_and_again_are_given_up_with_their_tasks():
    with pytest.raises(SalusError, match=r"died 3 times in a row.*exit code -9 and tasks \[0\]"):
        run(dies, range(5), 1, restart=True)


def test_a_worker_that_leaves_its_task_behind_counts_as_dead():
    assert run(leaves_early, range(2), 1) == [(0, Lost(0)), (1, Lost(0))]


@pytest.mark.parametrize(("workers", "restart"), [(1, False), (2, True)])
def test_an_error_comes_when_everything_before_it_has_come(workers, restart):
    found = []
    work = partial(refuses, 3, ConfigError)
    with (
        Pool(work, range(9), workers, restart=restart, ahead=8) as pool,
        pytest.raises(ConfigError, match="task 3 is no good"),
    ):
        found.extend(task for task, _ in pool.results())
    assert found == ([0, 1, 2] if restart else [0, 1, 2, 3])


def test_an_unexpected_error_comes_with_its_traceback():
    with pytest.raises(SalusError, match=r"(?s)a worker failed:.*in refuses.*KeyError"):
        run(partial(refuses, 0, KeyError), range(3))


def test_an_error_before_any_task_comes_at_once():
    with pytest.raises(ConfigError, match="no policy here"):
        run(cannot_begin, range(3))


def test_progress_comes_at_once(tmp_path):
    said = []

    def on_progress(task, *figures):
        said.append((task, figures))
        (tmp_path / "go").touch()  # task 0 waits until another one has said something

    assert run(partial(says_how_far, tmp_path), range(4), 2, on_progress=on_progress) == []
    assert sorted(said) == [(task, (1, "half")) for task in range(4)]
    assert said[0][0] != 0


def test_a_worker_has_one_thread_and_hears_nothing_of_ctrl_c(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert run(tells_its_surroundings, [0]) == [(0, ("1", True))]
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


PARENT = """
    from salus_ros.core.pool import Pool

    def work(desk):
        for task in desk:
            desk.send(task, "piece")
            if task:
                while True:
                    pass  # computes, and talks to nobody
            desk.done(task)

    if __name__ == "__main__":
        with Pool(work, range(9), 2, restart=False, ahead=9) as pool:
            for task, piece in pool.results():
                print(task, *[process.pid for process in pool.processes], flush=True)
"""


@pytest.fixture
def parent(tmp_path):
    """A process with a pool of two workers that compute for ever, in a session of its own."""
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    process.workers = [int(pid) for pid in process.stdout.readline().split()[1:]]
    assert len(process.workers) == 2, process.communicate()[1]
    yield process
    for pid in (process.pid, *process.workers):
        if runs(pid):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_ends_the_parent_and_it_ends_the_workers(parent):
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
    _, said = parent.communicate(timeout=DEADLINE_S)
    assert said.count("KeyboardInterrupt") == 1  # of the parent alone
    assert not any(runs(pid) for pid in parent.workers)


def test_workers_end_with_a_parent_that_was_killed(parent):
    parent.kill()
    wait_for(lambda: not any(runs(pid) for pid in parent.workers), "the end of the workers")
