"""gluon-bof completion bash|zsh|tcsh: a shell's completion of every command and flag, to be read by the shell."""
from __future__ import annotations

import importlib
from typing import Mapping, Sequence

from gluon_bof.errors import user_facing
from gluon_bof.options.flags import Parser, add_subparsers

SHELLS = ("bash", "zsh", "tcsh")


@user_facing
def main(argv: Sequence[str]) -> int:
    """Print the completion of a shell."""
    import shtab

    from gluon_bof.commands import COMMANDS
    shell = build_parser().parse_args(argv).shell
    print(shtab.complete(whole_parser(COMMANDS), shell))
    return 0


def whole_parser(commands: Mapping[str, str]) -> Parser:
    """One parser of all commands, {name: what it does}."""
    parser = Parser("gluon-bof")
    add_subparsers(parser, {name: (importlib.import_module(f"gluon_bof.commands.{name}").build_parser(), text)
                            for name, text in commands.items()})
    return parser


def build_parser() -> Parser:
    """The command's parser."""
    parser = Parser("gluon-bof completion", description=__doc__.split(": ", 1)[1],
                    epilog='bash: eval "$(gluon-bof completion bash)"; zsh: put the output into a file _gluon-bof of $fpath; '
                           'tcsh: put it into a file that ~/.tcshrc sources')
    parser.add_argument("shell", choices=SHELLS)
    return parser
