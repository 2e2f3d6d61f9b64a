"""Who takes part in a job and where: hosts, roles, and the variables that tell each process its role."""
from __future__ import annotations

import dataclasses
import socket
import sys
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from gluon_bof import threads
from gluon_bof.distributed import progress
from gluon_bof.errors import UserError

LOOPBACK = "127.0.0.1"
LOCAL_NAMES = ("localhost", LOOPBACK)
MOST_DIGITS = 6  # of a host's slots, each of which takes memory
ENGINES = ("ps", "horovod")
GPUS = "CUDA_VISIBLE_DEVICES"
# of an outer job: no process of ours may take them for its own
FOREIGN = ("DMLC_", "HOROVOD_", "PORT", progress.VARIABLE, "OMPI_", "PMI_", "PMIX_")
SERVER = ("-m", "gluon_bof.distributed.server")
RENDEZVOUS = ("-m", "gluon_bof.distributed.rendezvous")


class Host(NamedTuple):
    """A machine: its name for ssh, how many workers it takes, and the address that the others reach it by."""

    name: str
    slots: int
    address: str

    @property
    def is_local(self) -> bool:
        """Whether the launcher runs there, so that no ssh is needed."""
        return self.name in LOCAL_NAMES


class Role(NamedTuple):
    """One process of a job. kind: scheduler, server, worker or, of Horovod, rendezvous; number: among its kind; local: among
    the workers of its host."""

    kind: str
    number: int
    host: Host
    local: int = 0

    @property
    def name(self) -> str:
        """Of its log."""
        return f"{self.kind}-{self.number}" if self.kind in ("worker", "server") else self.kind

    def __str__(self):
        return f"{self.name.replace('-', ' ')} on {self.host.name}"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Which processes there are and where. root: the address of the launcher's machine at which they meet; unix: whether ps-lite
    meets at sockets of the file system, which nobody else reaches, and not at TCP's ports."""

    engine: str
    hosts: tuple
    root: str
    unix: bool
    workers: tuple
    servers: tuple

    @property
    def meeting(self) -> Role:
        """The process that the others find each other by: ps-lite's scheduler, or Horovod's rendezvous."""
        return Role("scheduler" if self.engine == "ps" else "rendezvous", 0, Host(LOCAL_NAMES[0], 0, self.root))

    @property
    def roles(self) -> tuple:
        """All, in the order in which they start."""
        return (self.meeting, *self.servers, *self.workers)


def place(workers: int, servers: int | None, hosts: Sequence[Host], engine: str = "ps", root: str | None = None) -> Cluster:
    """So many workers on the hosts' slots, in their order; servers in turn over the hosts, by default one a host.

    Raises UserError where there are too few slots."""
    slots = [(host, local) for host in hosts for local in range(host.slots)]
    if workers < 1:
        raise UserError(f"-n {workers} is below 1", remedy="give the number of workers")
    if workers > len(slots):
        raise UserError(f"-n {workers} workers, but the hosts have {len(slots)} slots",
                        remedy="write more slots=N, or give a smaller -n")
    used = list(dict.fromkeys(host for host, _ in slots[:workers]))
    count = len(used) if servers is None else servers
    if count < 1:
        raise UserError(f"-s {count} is below 1", remedy="ps-lite needs a server to sum the gradients")
    unix = engine == "ps" and root is None and all(host.is_local for host in used)
    return Cluster(engine, tuple(used), root or root_address(used), unix,
                   tuple(Role("worker", number, host, local) for number, (host, local) in enumerate(slots[:workers])),
                   tuple(Role("server", number, used[number % len(used)]) for number in range(count if engine == "ps" else 0)))


def this_machine(workers: int) -> list[Host]:
    """The hosts of a job without a hostfile."""
    return [Host(LOCAL_NAMES[0], max(1, workers), LOOPBACK)]


def read_hostfile(path: str) -> list[Host]:
    """Hosts of a file with lines `NAME [slots=N] [address=IP]`; # begins a comment. Raises UserError with the line at fault."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.split("#")[0].split() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the hostfile cannot be read ({getattr(error, 'strerror', None) or 'it is no text'})", path,
                        "give a text file with a host a line") from None
    hosts = [_host(words, f"{path}, line {number}") for number, words in enumerate(lines, 1) if words]
    if not hosts:
        raise UserError("the hostfile names no host", path, "write a host a line: NAME slots=N")
    names = [host.name for host in hosts]
    if len(set(names)) < len(names):
        raise UserError(f"the hostfile names {max(names, key=names.count)} twice", path, "write it once, with slots=N")
    return hosts


def _host(words, where):
    name, values = words[0], {"slots": "1", "address": ""}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if key not in values or not equals:
            raise UserError(f"{word!r} is neither slots=N nor address=IP", where, "write NAME slots=N address=IP")
        values[key] = value
    if name.startswith("-") or not f"{name}{values['address']}".isprintable():  # ssh would take the first for one of its flags
        raise UserError(f"{name!r} is no host's name", where, "write NAME slots=N address=IP")
    slots = values["slots"].lstrip("0")
    if not slots.isdecimal() or len(slots) > MOST_DIGITS:
        raise UserError(f"slots={values['slots'][:20]} is no number from 1 on of {MOST_DIGITS} digits at most", where,
                        "write NAME slots=N address=IP")
    return Host(name, int(slots), values["address"] or _address_of(name, where))


def _address_of(name, where):
    if name in LOCAL_NAMES:
        return LOOPBACK
    try:
        return socket.gethostbyname(name.rpartition("@")[2])
    except (OSError, UnicodeError):  # the second of a part that is empty or too long
        raise UserError(f"no address is known of {name}", where, "write it behind the name: address=IP") from None


def root_address(hosts: Iterable[Host]) -> str:
    """The address of this machine that the hosts reach it by: loopback where all are here, else that of the route to the first
    other one."""
    others = [host for host in hosts if not host.address.startswith("127.")]
    if not others:
        return LOOPBACK
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((others[0].address, 9))  # sends nothing
            return probe.getsockname()[0]
        except (OSError, UnicodeError) as error:
            raise UserError(f"no route to {others[0].name} ({others[0].address}): {getattr(error, 'strerror', 'no address')}",
                            remedy="give the address of this machine with --address") from None


def variables(cluster: Cluster, role: Role, port: int, own_port: int | None = None) -> dict[str, str]:
    """The variables that tell a process its role. port: of the meeting; own_port: where it listens itself, by which ps-lite
    orders the workers of a host; None: it looks for one."""
    if cluster.engine == "horovod":
        return _horovod_variables(cluster, role, port)
    address = cluster.root if role.host.is_local and cluster.root != LOOPBACK else role.host.address
    told = {"DMLC_ROLE": role.kind, "DMLC_PS_ROOT_URI": cluster.root, "DMLC_PS_ROOT_PORT": str(port),
            "DMLC_NUM_WORKER": str(len(cluster.workers)), "DMLC_NUM_SERVER": str(len(cluster.servers)), "DMLC_NODE_HOST": address}
    if cluster.unix:
        told["DMLC_LOCAL"] = "1"
    return {**told, "PORT": str(own_port)} if own_port else told


def _horovod_variables(cluster, role, port):
    told = {"HOROVOD_GLOO_RENDEZVOUS_ADDR": cluster.root, "HOROVOD_GLOO_RENDEZVOUS_PORT": str(port)}
    if role.kind == "rendezvous":
        slots = [f"{host.name}:{sum(worker.host == host for worker in cluster.workers)}" for host in cluster.hosts]
        return {**told, "HOROVOD_HOSTS": ",".join(slots)}
    sharing = [worker for worker in cluster.workers if worker.host == role.host]
    across = [worker.host for worker in cluster.workers if worker.local == role.local]
    told.update({"HOROVOD_CONTROLLER": "gloo", "HOROVOD_CPU_OPERATIONS": "gloo", "HOROVOD_HOSTNAME": role.host.name,
                 "HOROVOD_RANK": str(role.number), "HOROVOD_SIZE": str(len(cluster.workers)),
                 "HOROVOD_LOCAL_RANK": str(role.local), "HOROVOD_LOCAL_SIZE": str(len(sharing)),
                 "HOROVOD_CROSS_RANK": str(across.index(role.host)), "HOROVOD_CROSS_SIZE": str(len(across))})
    return {**told, "HOROVOD_GLOO_IFACE": "lo"} if cluster.root == LOOPBACK else told


def shared_out(cluster: Cluster, role: Role, gpus_per_worker: int, environment: Mapping[str, str]) -> dict[str, str]:
    """A process's part of its machine: GPUs, and of this machine's cores a share of threads, unless OMP_NUM_THREADS is set."""
    given: dict[str, str] = {}
    if gpus_per_worker and role.kind == "worker":
        given[GPUS] = ",".join(_gpus_of(role, gpus_per_worker, environment))
    if role.host.is_local and threads.VARIABLE not in environment:
        beside = sum(worker.host.is_local for worker in cluster.workers)
        given[threads.VARIABLE] = str(max(1, threads.cores() // max(1, beside)))
    return given


def _gpus_of(role, count, environment):
    """The worker's slice of its machine's GPUs; of this machine's, those that the launcher was given."""
    first = role.local * count
    if not (role.host.is_local and environment.get(GPUS)):
        return map(str, range(first, first + count))
    visible = environment[GPUS].split(",")
    if len(visible) < first + count:
        raise UserError(f"{GPUS} is {environment[GPUS]}, and the workers of this machine want {first + count} GPUs or more",
                        remedy="start fewer workers, or give fewer with --gpus-per-worker")
    return visible[first:first + count]


def command_of(role: Role, words: Sequence[str]) -> list[str]:
    """What a role runs, by this interpreter: the words of the user's, or our server."""
    own: dict[str, Any] = {"scheduler": SERVER, "server": SERVER, "rendezvous": RENDEZVOUS}
    return [sys.executable, *own.get(role.kind, words)]
