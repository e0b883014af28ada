"""A collection spread over the nodes of a real Ray cluster, one of which is killed."""

from dataclasses import replace

import pytest
from recordings import CONFIG, SEEDS, assert_same

from salus_ros.collection.cluster import RayCluster
from salus_ros.collection.collect import collect
from salus_ros.collection.workers import rollout_pool
from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.episodes.reader import StoreReader

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra 'ray' is not installed")


@pytest.fixture
def two_nodes(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.second = cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_a_node_is_killed_and_the_episodes_are_those_of_a_single_process(
    two_nodes, reference, tmp_path
):
    killed = []

    def kill(result):
        if not killed:
            killed.append(result.episodes)
            two_nodes.remove_node(two_nodes.second, allow_graceful=False)

    with RayCluster(two_nodes.address) as cluster:
        assert cluster.cpus == 2
        nowhere = replace(CONFIG, policy=tmp_path / "nowhere")
        with (
            rollout_pool(nowhere, SEEDS, 1, cluster=cluster) as pool,
            pytest.raises(PolicyError, match="nowhere"),
        ):
            list(pool.results())
        result = collect(CONFIG, tmp_path / "a.zarr", len(SEEDS), 0, 2, kill, cluster)
    assert killed == [1]
    assert result.restarts == 1
    reader = StoreReader(tmp_path / "a.zarr")
    assert [meta.seed for meta in reader.episodes()] == list(SEEDS)
    for i, seed in enumerate(SEEDS):
        assert_same(reader.episode(i), reference[seed])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nothing"])
def test_where_no_cluster_answers_it_says_how_to_start_one(address):
    with pytest.raises(ConfigError, match=f"no Ray cluster at '{address}'.*ray start --head"):
        RayCluster(address)
