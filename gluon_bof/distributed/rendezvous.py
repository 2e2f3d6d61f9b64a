"""Where Horovod's workers find each other: python -m gluon_bof.distributed.rendezvous, told by HOROVOD_GLOO_RENDEZVOUS_ADDR and
_PORT, and by HOROVOD_HOSTS (name:workers, comma-separated). Horovod's own HTTP store, at that address alone."""
from __future__ import annotations

import os
import sys

from gluon_bof.errors import UserError, user_facing


@user_facing
def main() -> int:
    """Serve until somebody ends it: the launcher does when the workers are done. Raises UserError without Horovod or a port."""
    try:
        from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
        from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer
    except ImportError as error:
        raise UserError(f"--engine horovod needs Horovod ({error})",
                        remedy="HOROVOD_WITH_GLOO=1 HOROVOD_WITH_MXNET=1 pip install --no-build-isolation horovod==0.28.1, or "
                               "leave --engine out") from None
    place = (os.environ["HOROVOD_GLOO_RENDEZVOUS_ADDR"], int(os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"]))
    hosts = parse_hosts(os.environ["HOROVOD_HOSTS"])
    try:
        server = RendezvousHTTPServer(place, RendezvousHandler, 0)
    except OSError as error:
        raise UserError(f"port {place[1]} at {place[0]} cannot be listened at ({error.strerror})",
                        remedy="another program may have it: choose another") from None
    server.init(get_host_assignments(hosts, sum(host.slots for host in hosts)))
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
