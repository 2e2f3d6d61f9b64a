"""gluon-bof train FAMILY …: the training scripts, wherever the package is installed."""
from __future__ import annotations

from typing import Sequence

from gluon_bof.errors import UserError, user_facing
from gluon_bof.options import families
from gluon_bof.options.flags import Parser, add_subparsers
from gluon_bof.options.flags import build_parser as options_parser
from gluon_bof.options.recipes import RECIPES
from gluon_bof.training.entry import run_script, script_of


@user_facing
def main(argv: Sequence[str]) -> int:
    """Run a family's script with what follows its name."""
    names = [family.name for family in families.trained_by_name()]
    if not argv or argv[0] in ("-h", "--help"):
        print("gluon-bof train FAMILY …, train FAMILY --help tells more\n")
        for family in families.trained_by_name():
            print(f"  {family.name:12} {family.title}, by {family.script}.py")
        return 0
    if argv[0] not in names:
        raise UserError(f"unknown family {argv[0]!r}", remedy=f"choose one of {', '.join(names)}")
    script = script_of(argv[0])
    run_script(argv[0], list(argv[1:]), script.__doc__, script.train, f"gluon-bof train {argv[0]}")
    return 0


def build_parser() -> Parser:
    """The command's parser, for completion: the families are its sub-commands."""
    parser = Parser("gluon-bof train", description=__doc__.split(": ", 1)[1])
    built = {family: options_parser(family.options, family.title, RECIPES.of_family(family.name))
             for family in families.trained_by_name()}
    add_subparsers(parser, {family.name: (of_family, family.title) for family, of_family in built.items()})
    return parser
