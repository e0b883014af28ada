"""Nodes in this process, in a namespace of their own, and what they publish."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from salus_ros.nodes.qos import status_qos, stream_qos

DEADLINE_S = 60.0  # a failing test ends here; a passing one never comes near


class Graph:
    """Nodes under test and a probe that listens and talks to them, spun by one executor."""

    def __init__(self) -> None:
        self.namespace = f"/test_{uuid.uuid4().hex[:8]}"
        self.executor = SingleThreadedExecutor()
        self.nodes: list[Any] = []
        self.probe = Node("probe", namespace=self.namespace)
        self.executor.add_node(self.probe)
        self._heard: dict[str, Any] = {}

    def add(self, cls: type, **parameters: Any) -> Any:
        """Make a node with these parameters."""
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = cls(namespace=self.namespace, parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        if node.parameters.autostart:
            try:
                node.start()
            except Exception:
                self.remove(node)
                raise
        return node

    def remove(self, node: Any) -> None:
        """End a node."""
        self.nodes.remove(node)
        self.executor.remove_node(node)
        node.close()
        node.destroy_node()

    def listen(self, kind: type, topic: str, *, status: bool = False) -> list[Any]:
        """Messages of a topic, as they arrive, from every publisher that there is now."""
        heard: list[Any] = []
        qos = status_qos() if status else stream_qos()
        subscription = self.probe.create_subscription(kind, topic, heard.append, qos)
        name = subscription.topic_name
        self._heard[topic] = subscription
        self.until(
            lambda: subscription.get_publisher_count() >= self.probe.count_publishers(name),
            f"to hear every publisher of {name}",
        )
        return heard

    def connected(self, *topics: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until somebody publishes what is listened to: nothing of it is missed then."""
        heard = [self._heard[topic] for topic in topics]
        self.until(
            lambda: all(one.get_publisher_count() for one in heard),
            f"a publisher of each of {', '.join(topics)}",
            deadline_s,
        )

    def talk(self, kind: type, topic: str, *, status: bool = False, wait: bool = True) -> Any:
        """Publisher of a topic, matched with every reader that there is now, at least one."""
        qos = status_qos() if status else stream_qos()
        publisher = self.probe.create_publisher(kind, topic, qos)
        readers = self.probe.count_subscribers(publisher.topic_name)
        if wait:
            self.until(lambda: publisher.get_subscription_count() >= max(1, readers))
        return publisher

    def call(self, kind: type, service: str, request: Any) -> Any:
        """Answer of a service."""
        client = self.probe.create_client(kind, service)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def until(
        self, condition: Callable[[], bool], what: str = "", deadline_s: float = DEADLINE_S
    ) -> None:
        """Spin until a condition holds; fail when it never does."""
        end = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < end, f"never came: {what or condition}"
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        for node in list(self.nodes):
            self.remove(node)
        self.probe.destroy_node()
        self.executor.shutdown()


@pytest.fixture
def graph(ros: Any) -> Iterator[Graph]:
    """An empty graph in a namespace that no other test has."""
    made = Graph()
    yield made
    made.close()


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small SmolVLA with random weights."""
    from salus_ros.policies.tiny.build import TINY, build_policy, save_policy

    folder = tmp_path_factory.mktemp("policy")
    torch.manual_seed(0)
    save_policy(build_policy(folder, TINY), folder, None)
    return folder
