"""What the scheduler and the servers run: python -m gluon_bof.distributed.server, told by ps-lite's variables (DMLC_ROLE …).

MXNet's own server unpickles a command of whoever reaches its port, and so runs what that wants. This one never does: it drives
libmxnet through its C interface, and every command that would reach Python is refused and logged. Nothing of MXNet's Python is
imported, so that a server is up within a second."""
from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec

from gluon_bof.compat import prepare_mxnet
from gluon_bof.errors import UserError, user_facing

ROLES = ("scheduler", "server")
VARIABLES = ("DMLC_ROLE", "DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT", "DMLC_NUM_WORKER", "DMLC_NUM_SERVER")
TOLD = 5  # refusals that are told one by one; of more only every thousandth, so that nobody fills the disk with them
CONTROLLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class Refusals:
    """The controller of a server: counts commands and names the first of them, and does nothing else."""

    def __init__(self):
        self.count = 0

    def __call__(self, head: int, _body: object, _context: object) -> None:
        """head: the command's number; 0 is an optimizer, as a pickle. The body is not even read."""
        self.count += 1
        if self.count <= TOLD or self.count % 1000 == 0:
            what = "an optimizer as a pickle" if head == 0 else f"command {head}"
            say(f"refused {what} ({self.count} refused so far): servers sum, and run nothing that they are sent; "
                "workers train with update_on_kvstore=False")


@user_facing
def main() -> int:
    """Serve until the workers are done. Returns 0. Raises UserError where the variables are not a scheduler's or a server's."""
    role = os.environ.get("DMLC_ROLE")
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing or role not in ROLES:
        fault = f"{', '.join(missing)} not set" if missing else f"DMLC_ROLE is {role}"
        raise UserError(f"this is no scheduler and no server ({fault})",
                        remedy="gluon-bof launch starts them; --print-env shows their variables")
    serve(load_mxnet())
    return 0


def load_mxnet() -> ctypes.CDLL:
    """libmxnet alone."""
    prepare_mxnet()
    library = ctypes.CDLL(os.path.join(os.path.dirname(find_spec("mxnet").origin), "libmxnet.so"), ctypes.RTLD_LOCAL)
    library.MXGetLastError.restype = ctypes.c_char_p
    return library


def serve(library: ctypes.CDLL) -> None:
    """Run this process's role until all workers have finished. Raises RuntimeError with MXNet's message."""
    os.umask(0o077)  # nobody else opens the socket, where that is one of the file system
    store = ctypes.c_void_p()
    controller = CONTROLLER(Refusals())
    _check(library, library.MXKVStoreCreate(b"dist_sync", ctypes.byref(store)))
    _check(library, library.MXKVStoreRunServer(store, controller, None))


def say(text: str) -> None:
    """A line in this role's log."""
    print(text, file=sys.stderr, flush=True)


def _check(library, status):
    if status:
        message = library.MXGetLastError().decode(errors="replace")
        if "bind failed" in message:
            raise UserError(f"port {os.environ['DMLC_PS_ROOT_PORT']} at {os.environ['DMLC_PS_ROOT_URI']} cannot be listened at",
                            remedy="another program may have it: choose another")
        raise RuntimeError(message)


if __name__ == "__main__":
    sys.exit(main())
