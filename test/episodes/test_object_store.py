"""Stores on an object store: a real server of the S3 protocol, on this machine."""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import s3fs
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store
from test_store import KINDS, assert_same, steps
from typer.testing import CliRunner

from salus_ros.cli import app
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.reader import existing
from salus_ros.episodes.verify import verify

BUCKET = "episodes"
DEADLINE_S = 60


@pytest.fixture(scope="module")
def server():
    """A running server; its address and credentials are in the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            end = time.monotonic() + DEADLINE_S
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert time.monotonic() < end
                time.sleep(0.05)
            s3fs.S3FileSystem.clear_instance_cache()
            s3fs.S3FileSystem().mkdir(BUCKET)
            yield process
            s3fs.S3FileSystem.clear_instance_cache()
        process.kill()


@pytest.fixture
def url(server, request):
    """Where no other test writes."""
    return f"s3://{BUCKET}/{request.node.name}/a.zarr"


def test_what_was_written_is_read(url):
    first, second = (make_episode(str(n), 9 + 5 * n, spec=WITH_IMAGES, seed=n) for n in range(2))
    with EpisodeStore.create(url, WITH_IMAGES) as store:
        store.append(first)
        reader = StoreReader(url)
    with EpisodeStore.open_or_create(url, WITH_IMAGES) as store:
        store.write(steps(second, 0, 6))
        store.write(steps(second, 6, 14))
        assert reader.refresh() == 1
        store.commit(second.meta)
        store.relabel(0, Outcome.FAILURE, FailureType.DROP, 5)
    assert reader.refresh() == 2
    assert_same(reader.episode(1), second)
    assert reader.meta(0).failure_step == 5
    assert verify(url).problems == ()


def test_rows_that_were_never_committed_are_trimmed(url):
    with EpisodeStore.create(url, LOW_DIM) as store:
        store.append(make_episode("kept", 7))
        store.write(make_episode("lost", 90))
    with EpisodeStore.open(url) as store:
        assert (len(store), store.steps) == (1, 7)
    found = verify(url)
    assert (found.problems, found.uncommitted_rows) == ((), 0)


def test_a_chunk_that_is_gone_is_found(url):
    make_store(url, KINDS[:1], WITH_IMAGES)
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    (lost,) = [key for key in fs.find(f"{url}/data/state") if "/c/" in key]
    fs.rm_file(lost)
    assert [problem.array for problem in verify(url).problems] == ["data/state"]
    with pytest.raises(StoreError, match="damaged or incomplete"):
        StoreReader(url).episode(0)


def test_a_new_store_is_seen_whole_or_not_at_all(url, monkeypatch):
    """Whoever creates it is stopped before each of its objects in turn."""
    put, done = s3fs.S3FileSystem._pipe_file, []

    for allowed in (0, 5, 20):

        async def put_some(fs, path, *arguments, _allowed=allowed, **options):
            if not path.endswith(".lock"):
                done.append(path)
                if len(done) > _allowed:
                    raise ConnectionError("the server went")
            return await put(fs, path, *arguments, **options)

        done.clear()
        monkeypatch.setattr(s3fs.S3FileSystem, "_pipe_file", put_some)
        with pytest.raises(StoreError, match="the server went"):
            EpisodeStore.create(url, LOW_DIM)
        assert existing(url) is None
    monkeypatch.undo()
    with EpisodeStore.open_or_create(url, LOW_DIM) as store:
        store.append(make_episode("a", 7))
    assert len(existing(url)) == 1


def test_a_store_whose_group_is_gone_is_not_made_anew(url):
    make_store(url, KINDS[:1], LOW_DIM)
    s3fs.S3FileSystem(use_listings_cache=False).rm_file(f"{url}/zarr.json")
    with pytest.raises(StoreError, match="is not an episode store"):
        EpisodeStore.open_or_create(url, LOW_DIM)


def test_one_writer_at_a_time(url):
    said = rf"process {os.getpid()} on .* since .*delete 's3://"
    with EpisodeStore.create(url, LOW_DIM), pytest.raises(StoreError, match=said):
        EpisodeStore.open(url)
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    assert not fs.exists(f"{url}.lock")
    holder = {"pid": 1, "host": "elsewhere", "since": "2024-01-01T00:00:00+00:00"}
    fs.pipe_file(f"{url}.lock", json.dumps(holder).encode())
    with pytest.raises(StoreError, match="process 1 on elsewhere since 2024"):
        EpisodeStore.open(url)


def test_the_lock_of_a_writer_that_was_killed_here_is_taken_over(url):
    EpisodeStore.create(url, LOW_DIM).close()
    with subprocess.Popen(["true"]) as gone:
        pass
    holder = {"pid": gone.pid, "host": socket.gethostname(), "since": "2024"}
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    fs.pipe_file(f"{url}.lock", json.dumps(holder).encode())
    EpisodeStore.open(url).close()
    assert not fs.exists(f"{url}.lock")


def test_commands_take_a_url(url, tmp_path):
    make_store(url, KINDS[:1], LOW_DIM)
    run = CliRunner().invoke
    info = run(app, ["info", url, "--json"])
    assert info.exit_code == 0, info.output
    assert json.loads(info.stdout)["episodes"] == 1
    packed = tmp_path / "a.zarr.zip"
    assert run(app, ["pack", url, "--out", str(packed)]).exit_code == 0
    np.testing.assert_array_equal(
        StoreReader(packed).episode(0).state, StoreReader(url).episode(0).state
    )
    label = ["label", url, "--episode", "0", "--outcome", "failure", "--type", "drop"]
    assert run(app, [*label, "--step", "3"]).exit_code == 0
    assert StoreReader(url).meta(0).failure_step == 3


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://episodes/nothing.zarr", "does not exist"),
        ("s3://no-such-bucket/a.zarr", "does not exist"),
    ],
)
def test_a_store_that_is_not_there(server, place, said):
    with pytest.raises(StoreError, match=said):
        StoreReader(place)


def test_a_bucket_that_is_not_there_takes_no_store(server):
    with pytest.raises(StoreError, match="check the address, the credentials"):
        EpisodeStore.create("s3://no-such-bucket/a.zarr", LOW_DIM)


def test_a_server_that_is_not_there(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError, match="check the address, the credentials"):
        StoreReader("s3://episodes/a.zarr")
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_back_end_that_is_not_installed_is_named():
    with pytest.raises(StoreError, match="pip install gcsfs"):
        StoreReader("gs://bucket/a.zarr")
