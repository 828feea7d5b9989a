"""What one worker asks of a cluster, and what the cluster's nodes have."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import ray

_WORDS = {"CPU": "CPUs", "GPU": "GPUs"}
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Ask:
    """Resources of one worker: `memory` in bytes, `resources` by the names that the cluster gives its own."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)

    def amounts(self) -> dict[str, float]:
        """What is asked, by Ray's names, without what is zero."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory or 0), **self.resources}
        return {name: amount for name, amount in named.items() if amount > 0}

    @property
    def threads(self) -> int:
        """Threads of linear algebra that one worker may use: its whole CPUs, at least one."""
        return max(1, math.floor(self.cpus))


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is up, and its resources in all."""

    id: str
    name: str
    resources: Mapping[str, float]

    def fits(self, ask: Ask) -> int:
        """How many workers the node has room for when nothing else runs there."""
        rooms = [self.resources.get(name, 0.0) / amount for name, amount in ask.amounts().items()]
        return math.floor(min(rooms, default=0.0) + 1e-9)


def nodes_up() -> list[Node]:
    """The cluster's nodes that are up."""
    return [
        Node(node["NodeID"], node["NodeManagerHostname"], node["Resources"]) for node in ray.nodes() if node["Alive"]
    ]


def room_for(ask: Ask, nodes: Iterable[Node]) -> int:
    """How many workers fit on the nodes together."""
    return sum(node.fits(ask) for node in nodes)


def largest_offer(ask: Ask, nodes: list[Node]) -> str:
    """What the node nearest to the ask offers, in words: the most of what the ask lacks."""
    if not nodes:
        return "the cluster has no node that is up"
    amounts = ask.amounts()
    best = max(nodes, key=lambda node: sorted(node.resources.get(name, 0.0) / by for name, by in amounts.items()))
    offer = in_words({name: best.resources.get(name, 0.0) for name in amounts})
    return f"the largest of {len(nodes)} nodes ({best.name}) offers {offer}"


def in_words(amounts: Mapping[str, float]) -> str:
    """Resources as people write them: `1 CPUs, 0.5 GPUs, memory 2.0 GiB`."""
    return ", ".join(
        f"memory {amount / _GIB:.1f} GiB" if name == "memory" else f"{amount:g} {_WORDS.get(name, name)}"
        for name, amount in amounts.items()
    )
