"""The nodes as the cluster's head last told them; when it is gone, Ray ends every process a minute later, wordless."""

import logging
import threading
import time

import ray

from orchestrator.cluster.ray_nodes import Node, nodes_up
from orchestrator.errors import ResourceMissing

SECONDS_BETWEEN_QUESTIONS = 3.0
SECONDS_OF_SILENCE = 25.0

log = logging.getLogger(__name__)


class HeadWatch:
    """Asks the head for its nodes every few seconds, in a thread, since a question to a dead head never returns."""

    def __init__(self) -> None:
        self._nodes = nodes_up()
        self._told = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="apportion-head-watch", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while not self._closed.wait(SECONDS_BETWEEN_QUESTIONS):
            try:
                self._nodes, self._told = nodes_up(), time.monotonic()
            except (ray.exceptions.RayError, RuntimeError, OSError) as error:
                log.debug("the head does not tell its nodes: %s", error)

    def nodes(self) -> list[Node]:
        """The nodes that were up a few seconds ago; raises ResourceMissing after 25 s of silence."""
        silent = time.monotonic() - self._told
        if silent > SECONDS_OF_SILENCE:
            raise ResourceMissing(
                f"the Ray cluster's head is gone: it has not answered for {silent:.0f} s",
                where="cluster",
                mend="start the cluster again, then `apportion resume`",
            )
        return self._nodes

    def close(self) -> None:
        """Ask no more; harmless twice."""
        self._closed.set()
        self._thread.join(timeout=2.0)
