"""gluon-bof launch -n 4 -- train_yolo3.py …: train in several processes, on this machine or on several, watched to their end."""
from __future__ import annotations

import json
import shlex
import sys
from typing import Sequence

from gluon_bof.distributed.launch import Job, as_shell, environments, run_job
from gluon_bof.distributed.roles import ENGINES, read_hostfile, this_machine
from gluon_bof.distributed.supervise import Limits
from gluon_bof.errors import UserError, user_facing
from gluon_bof.options.flags import Parser, at_least, positive

DEFAULTS = Limits()


@user_facing
def main(argv: Sequence[str]) -> int:
    """Run the job. Returns 0, the status of what failed first, or the shell's status of the signal that stopped it."""
    argv = list(argv)
    at = argv.index("--") if "--" in argv else len(argv)
    job, print_env = _job(build_parser().parse_args(argv[:at]), argv[at + 1:])
    if print_env:
        roles = environments(job)
        print("\n".join(as_shell(*role) for role in roles), file=sys.stderr)
        print(json.dumps([{"role": role.kind, "number": role.number, "host": role.host.name, "environment": told,
                           "command": command} for role, told, command in roles]))
        return 0
    outcome = run_job(job)
    print(json.dumps(outcome))
    return outcome["status"]


def build_parser() -> Parser:
    """The command's parser; the script and its flags follow behind --."""
    parser = Parser("gluon-bof launch", description=__doc__.split(": ", 1)[1], usage="%(prog)s -n N [FLAG …] -- SCRIPT.py …")
    parser.add_argument("-n", dest="workers", type=int, default=1, metavar="N", help="workers [1]")
    parser.add_argument("-s", dest="servers", type=int, default=None, metavar="N", help="servers that sum; default: one a host")
    parser.add_argument("-H", dest="hostfile", default=None, metavar="FILE",
                        help="hosts, a line each: NAME [slots=N] [address=IP]; default: this machine")
    parser.add_argument("--engine", choices=ENGINES, default="ps",
                        help="MXNet's parameter server, or Horovod (where installed) [ps]")
    parser.add_argument("--max-restarts", type=int, default=0, metavar="R",
                        help="after a failure start all again from the last checkpoint, so many times [0]")
    parser.add_argument("--stall-seconds", type=float, default=DEFAULTS.stall, metavar="S",
                        help=f"no step of any worker for so long is a failure; a stopped process is one after 10 s "
                             f"[{DEFAULTS.stall:g}]")
    parser.add_argument("--start-seconds", type=float, default=DEFAULTS.start, metavar="S",
                        help=f"the same before every worker has made its first step [{DEFAULTS.start:g}]")
    parser.add_argument("--grace-seconds", type=float, default=DEFAULTS.grace, metavar="S",
                        help=f"between SIGTERM and SIGKILL [{DEFAULTS.grace:g}]")
    parser.add_argument("--gpus-per-worker", type=int, default=0, metavar="N",
                        help="give each worker of a host N GPUs of its own, which it counts from 0; 0: all see all [0]")
    parser.add_argument("--log-dir", default="", metavar="FOLDER",
                        help="a log a process; default: launch/001 and so on, in the script's --runs")
    parser.add_argument("--port", type=int, default=None, metavar="N", help="where the processes meet; default: a free one")
    parser.add_argument("--address", default=None, metavar="IP",
                        help="this machine's address for the other hosts; default: of the route to them, and where there are "
                             "none no TCP but sockets of the file system")
    parser.add_argument("--ssh", default="ssh", metavar="WORDS", help="the command that reaches other hosts [ssh]")
    parser.add_argument("--print-env", action="store_true", help="start nothing: print each process's variables and command")
    return parser


def _job(arguments, words):
    for name, least in (("max_restarts", 0), ("gpus_per_worker", 0)):
        at_least(arguments, name, least)
    for name in ("stall_seconds", "start_seconds", "grace_seconds"):
        positive(arguments, name)
    if arguments.port is not None and not 0 < arguments.port < 65536:
        raise UserError(f"--port {arguments.port} is no port", remedy="give one from 1024 to 65535")
    hosts = read_hostfile(arguments.hostfile) if arguments.hostfile else this_machine(arguments.workers)
    try:
        ssh = shlex.split(arguments.ssh)
    except ValueError as error:
        raise UserError(f"--ssh {arguments.ssh} is no command ({error})", remedy="quote it as a shell would") from None
    if not ssh:
        raise UserError("--ssh is empty", remedy="leave it out, or give the command that reaches other hosts")
    limits = Limits(arguments.stall_seconds, arguments.start_seconds, arguments.grace_seconds)
    return Job(tuple(words), arguments.workers, tuple(hosts), arguments.servers, arguments.engine, arguments.log_dir,
               arguments.address, arguments.port, arguments.max_restarts, limits, arguments.gpus_per_worker,
               tuple(ssh)), arguments.print_env
