"""Workers of a `Pool` on the machines of a Ray cluster.

Ray finds each worker a CPU, starts it there and tells when its machine is gone. What it works on
and what it makes travel over a connection of its own to the machine of the pool, so that a pool
is one thing, wherever its workers run. Machines need this package, and the policy at its path.
"""

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Client, Connection, Listener, wait
from typing import Any, Self

from salus_ros.core.errors import ConfigError, SalusError
from salus_ros.core.pool import ONE_THREAD, Desk, run_work

CONNECT_TIMEOUT_S = 10.0

type Work = Callable[[Desk[Any, Any]], None]


class RayCluster:
    """A Ray cluster that is there already; a context manager whose end leaves it.

    Attributes:
        cpus: CPUs of the cluster when it was joined.

    Args:
        address: Of the cluster's head, `host:port`, or "auto" for the one of this machine.

    Raises:
        ConfigError: if Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError(
                "a cluster needs Ray, which is not installed: pip install 'salus_ros[ray]'"
            ) from error
        self._ray: Any = ray
        try:
            if address != "auto":  # Ray itself would try for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"no Ray cluster at '{address}' ({str(error).splitlines()[0]}); start one with "
                "'ray start --head', or give the address that it printed"
            ) from error
        self.cpus = int(self._ray.cluster_resources().get("CPU", 0))

    def __enter__(self) -> Self:
        """Nothing more than the cluster itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster; it goes on."""
        self._ray.shutdown()

    def start(self, work: Work) -> tuple["RayWorker", Connection]:
        """Have a worker started where a CPU is free, now or later; see `Pool`'s `start`."""
        ours, theirs = Pipe()
        return RayWorker(self._ray, work, theirs), ours


class RayWorker:
    """A worker somewhere in a cluster, as a `Pool` handles its processes.

    Attributes:
        exitcode: Of the worker; Ray tells none.
    """

    exitcode: int | None = None

    def __init__(self, ray: Any, work: Work, pipe: Connection) -> None:
        self._ray, self._pipe = ray, pipe
        self._key = secrets.token_bytes(32)
        self._listener = Listener((ray.util.get_node_ip_address(), 0), authkey=self._key)
        remote = ray.remote(num_cpus=1, max_retries=0)(_run)
        self._end = remote.remote(work, self._listener.address, self._key)
        self._far: Connection | None = None
        for body in (self._relay, self._watch):
            threading.Thread(target=body, daemon=True, name="salus-cluster").start()

    def terminate(self) -> None:
        """End it."""
        self._ray.cancel(self._end, force=True)

    kill = terminate

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        self._ray.wait([self._end], timeout=timeout)

    def is_alive(self) -> bool:
        """Whether it has not ended, or not begun."""
        return not self._ray.wait([self._end], timeout=0)[0]

    def _relay(self) -> None:
        """Carry messages between the worker and the pool until either is gone."""
        with contextlib.suppress(EOFError, OSError):
            self._far = far = self._listener.accept()
            other = {far: self._pipe, self._pipe: far}
            while True:
                for ready in wait([far, self._pipe]):
                    other[ready].send_bytes(ready.recv_bytes())  # type: ignore[index, union-attr]
        self._listener.close()
        self._pipe.close()
        if self._far is not None:
            self._far.close()

    def _watch(self) -> None:
        """Tell the pool of a worker that could not begin, and of a machine that went silent."""
        ray = self._ray
        try:
            ray.get(self._end)
        except ray.exceptions.RayTaskError as error:
            told = SalusError(f"a worker of the cluster could not begin: {error}")
            Desk[Any, Any](self._pipe).fail(told)
        except Exception:  # noqa: BLE001 - it is gone, whatever Ray calls it
            pass
        else:
            return  # what it sent last may still be on its way
        with contextlib.suppress(OSError, EOFError):
            if self._far is None:
                Client(self._listener.address, authkey=self._key).close()  # ends the accept
            elif not self._far.closed:
                self._far.close()


def _run(work: Work, address: tuple[str, int], key: bytes) -> None:
    """Body of a worker, on the machine that Ray chose."""
    os.environ.update(ONE_THREAD)  # read when torch and Mesa are imported, which is later
    with contextlib.suppress(SystemExit), Client(address, authkey=key) as pipe:
        run_work(work, pipe)
