"""gluon-bof COMMAND, or python -m gluon_bof COMMAND: a command's module is imported only when it runs."""
from __future__ import annotations

import importlib
import sys
from typing import Sequence

from gluon_bof.commands import COMMANDS
from gluon_bof.errors import UserError, user_facing


@user_facing
def main(argv: Sequence[str] | None = None) -> None:
    """Run one command. Raises SystemExit with its status."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print("gluon-bof COMMAND …, COMMAND --help tells more\n")
        for name, text in COMMANDS.items():
            print(f"  {name:10} {text}")
        return
    if argv[0] not in COMMANDS:
        raise UserError(f"unknown command {argv[0]!r}", remedy=f"choose one of {', '.join(COMMANDS)}")
    raise SystemExit(importlib.import_module(f"gluon_bof.commands.{argv[0]}").main(argv[1:]))


if __name__ == "__main__":
    main()
