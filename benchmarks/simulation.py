"""A discrete simulation of data-parallel training over MXNet's parameter server: what waits for what, and which resource is busy.

Lanes are what does one thing at a time, in order: a device, a worker's sending thread, a server, a direction of a network card.
Pools are what lanes share: the cores of a host, of which each running lane gets one, or a part where there are too few. A task is
so many seconds of one lane at full speed. All of a step's parts are tasks; the step's time is what comes out."""
from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from typing import Callable, NamedTuple

import numpy as np

MANY = 1e9  # lanes: a pool that nobody waits for


class Costs(NamedTuple):
    """Seconds. send, receive: of a worker's thread for a push's and a pull's byte; take, give: of a server's; the four again for
    a key; update: of the optimizer, a step; image: of the loader."""

    send: float = 0.0
    receive: float = 0.0
    take: float = 0.0
    give: float = 0.0
    send_key: float = 0.0
    receive_key: float = 0.0
    take_key: float = 0.0
    give_key: float = 0.0
    update: float = 0.0
    image: float = 0.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """A job. compute: seconds of a step's forward and backward for each of the parts whose gradients become ready together, in
    their order; sizes: bytes of these gradients. network: bytes a second of a host's card, a direction; cores: of a host.

    on_device: whether compute runs beside the cores, on GPUs; inside: seconds that the devices of one worker take to sum a byte
    among themselves; spread: standard deviation of a step's compute over its mean; loaders: data workers of a worker; images: of
    a worker's batch; pieces_from: bytes from which MXNet cuts a gradient into one piece a server; compressed: share of a
    gradient's bytes that is pushed; crowd: for how many hosts like it each one stands, where there are too many to simulate:
    its messages are so many times as many, its workers as slow as the slowest of so many; background: lanes of other programs
    that share each host's cores."""

    workers: int
    hosts: int
    servers: int
    compute: tuple
    sizes: tuple
    costs: Costs
    cores: float
    network: float = float("inf")
    on_device: bool = False
    inside: float = 0.0
    spread: float = 0.0
    loaders: int = 0
    images: int = 0
    pieces_from: float = 4e6
    compressed: float = 1.0
    crowd: int = 1
    background: float = 0.0


class Simulation:
    """Lanes, pools and tasks in time."""

    def __init__(self):
        self.now = 0.0
        self.busy = {}  # lane: seconds that it had something to do
        self._lanes = {}
        self._widths = {}
        self._others = {}
        self._in_pool = {}

    def pool(self, name: object, width: float, background: float = 0.0) -> None:
        """A pool in which `width` lanes run at full speed; so many of others' always run in it."""
        self._widths[name] = width
        self._others[name] = background
        self._in_pool[name] = set()

    def add(self, lane: object, pool: object, amount: float, then: Callable[[], None]) -> None:
        """A task at the lane's end; then() is called when it is done."""
        queue = self._lanes.setdefault(lane, deque())
        queue.append([amount, pool, then])
        if len(queue) == 1:
            self._in_pool[pool].add(lane)

    def run(self) -> float:
        """Until nothing is left to do. Returns the time."""
        while any(self._in_pool.values()):
            rates = {name: min(1.0, self._widths[name] / (len(lanes) + self._others[name]))
                     for name, lanes in self._in_pool.items() if lanes}
            running = [(lane, rates[name]) for name in rates for lane in self._in_pool[name]]
            passed = min(self._lanes[lane][0][0] / rate for lane, rate in running)
            self.now += passed
            done = []
            for lane, rate in running:
                task = self._lanes[lane][0]
                task[0] -= passed * rate
                self.busy[lane] = self.busy.get(lane, 0.0) + passed
                if task[0] <= 1e-12:
                    done.append(lane)
            for lane in sorted(done, key=str):
                self._finish(lane)
        return self.now

    def _finish(self, lane):
        queue = self._lanes[lane]
        _, pool, then = queue.popleft()
        self._in_pool[pool].discard(lane)
        if queue:
            self._in_pool[queue[0][1]].add(lane)
        then()


class Training:
    """A plan's steps in a Simulation."""

    def __init__(self, plan: Plan, steps: int, seed: int = 0):
        if plan.crowd > 1:  # what stays on a host is the less, the more hosts there are
            outside = (1 - 1 / (plan.hosts * plan.crowd)) / (1 - 1 / plan.hosts)
            keys = {name: plan.crowd * value for name, value in plan.costs._asdict().items() if name.endswith("_key")}
            plan = dataclasses.replace(plan, network=plan.network / outside, costs=plan.costs._replace(**keys))
        self.plan, self.steps = plan, steps
        self.random = np.random.default_rng(seed)
        self.simulation = Simulation()
        for host in range(plan.hosts):
            self.simulation.pool(("cores", host), plan.cores, plan.background)
        self.simulation.pool("own", MANY)  # of what shares with nobody: devices, and each direction of a card
        self.pieces = self._pieces()
        self.step = [0] * plan.workers
        self.missing = [0] * plan.workers
        self.loaded = [0] * plan.workers
        self.asked = [0] * plan.workers
        self.waiting = [False] * plan.workers
        self.pushed = {}
        self.ends = []
        self._ended = {}

    def seconds_a_step(self) -> float:
        """The mean time of a step, the first fifth of them not counted."""
        for worker in range(self.plan.workers):
            self._load(worker)
            self._begin(worker)
        self.simulation.run()
        first = len(self.ends) // 5
        return (self.ends[-1] - self.ends[first]) / (len(self.ends) - 1 - first)

    def load(self) -> dict[str, float]:
        """{kind of lane: share of the time that the busiest of the kind had something to do}."""
        shares = {}
        for lane, busy in self.simulation.busy.items():
            shares[lane[0]] = max(shares.get(lane[0], 0.0), busy / self.simulation.now)
        return shares

    def host_of_worker(self, worker: int) -> int:
        """Neighbours share a host."""
        return worker * self.plan.hosts // self.plan.workers

    def host_of_server(self, server: int) -> int:
        """In turn."""
        return server % self.plan.hosts

    def _pieces(self):
        """(part, server, bytes) of every push, as MXNet spreads keys over servers."""
        servers, found = self.plan.servers, []
        turns = itertools.cycle(range(servers))
        for part, size in enumerate(self.plan.sizes):
            if size < self.plan.pieces_from:
                found.append((part, next(turns), size))
            else:
                found += [(part, server, size / servers) for server in range(servers)]
        return found

    # a worker's step

    def _load(self, worker):
        plan = self.plan
        while plan.loaders and self.asked[worker] < min(self.steps, self.step[worker] + 2 * plan.loaders):
            lane = ("loader", worker, self.asked[worker] % plan.loaders)
            self.asked[worker] += 1
            self.simulation.add(lane, self._cores_of(worker), plan.images * plan.costs.image, lambda: self._is_loaded(worker))

    def _is_loaded(self, worker):
        self.loaded[worker] += 1
        if self.waiting[worker]:
            self._begin(worker)

    def _begin(self, worker):
        plan = self.plan
        self.waiting[worker] = bool(plan.loaders) and self.loaded[worker] <= self.step[worker]
        if self.waiting[worker]:
            return
        self.missing[worker] = len(self.pieces)
        factor = max(0.2, 1 + plan.spread * self.random.standard_normal(plan.crowd).max())
        for part, seconds in enumerate(plan.compute):
            self.simulation.add(("compute", worker), self._compute_pool(worker), seconds * factor,
                                lambda part=part: self._inside(worker, part))

    def _inside(self, worker, part):
        self.simulation.add(("inside", worker), "own", self.plan.inside * self.plan.sizes[part], lambda: self._push(worker, part))

    def _push(self, worker, part):
        costs = self.plan.costs
        for own, server, size in self.pieces:
            if own == part:
                size *= self.plan.compressed
                self.simulation.add(("send", worker), self._cores_of(worker), costs.send * size + costs.send_key,
                                    lambda server=server, size=size, piece=(part, server): self._travel(
                                        self.host_of_worker(worker), self.host_of_server(server), size,
                                        lambda: self._take(worker, piece, size)))

    def _travel(self, begin, end, size, then):
        if begin == end:
            return then()
        seconds = size / self.plan.network
        # cut-through: the bytes leave one card while they enter the other
        self.simulation.add(("out", begin), "own", seconds, lambda: None)
        self.simulation.add(("in", end), "own", seconds, then)

    def _take(self, worker, piece, size):
        costs, server = self.plan.costs, piece[1]
        key = (self.step[worker], piece)
        self.simulation.add(("server", server), self._cores_at(self.host_of_server(server)), costs.take * size + costs.take_key,
                            lambda: self._taken(key))

    def _taken(self, key):
        self.pushed[key] = self.pushed.get(key, 0) + 1
        if self.pushed[key] < self.plan.workers:
            return
        del self.pushed[key]
        part, server = key[1]
        size = next(size for own, other, size in self.pieces if (own, other) == (part, server))
        costs = self.plan.costs
        host = self.host_of_server(server)
        for worker in range(self.plan.workers):
            self.simulation.add(("server", server), self._cores_at(host), costs.give * size + costs.give_key,
                                lambda worker=worker: self._travel(host, self.host_of_worker(worker), size,
                                                                   lambda: self._receive(worker, size)))

    def _receive(self, worker, size):
        costs = self.plan.costs
        self.simulation.add(("receive", worker), self._cores_of(worker), costs.receive * size + costs.receive_key,
                            lambda: self._received(worker))

    def _received(self, worker):
        self.missing[worker] -= 1
        if not self.missing[worker]:
            self.simulation.add(("compute", worker), self._compute_pool(worker), self.plan.costs.update,
                                lambda: self._end(worker))

    def _end(self, worker):
        step = self.step[worker]
        self.step[worker] += 1
        self._ended[step] = self._ended.get(step, 0) + 1
        if self._ended[step] == self.plan.workers:
            self.ends.append(self.simulation.now)
        if self.step[worker] < self.steps:
            self._load(worker)
            self._begin(worker)

    def _cores_of(self, worker):
        return self._cores_at(self.host_of_worker(worker))

    def _cores_at(self, host):
        return ("cores", host)

    def _compute_pool(self, worker):
        return "own" if self.plan.on_device else self._cores_of(worker)
