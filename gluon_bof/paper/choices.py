"""What a command line chooses of a table or an experiment: rows, seeds, and flags of its trainings."""
from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

from gluon_bof.errors import UserError
from gluon_bof.options.flags import INTEGERS, SEEDS, build_parser, flag_name

OWN = ("dataset", "dataset_root", "recipe", "name", "runs", "resume", "seed", "gpus", "dry_run")  # set by the table, not after --
STARTS = ("pretrained_base", "transfer")  # nor are these, where the runs start from backbones that are trained for them


def chosen(text: str, keys: Sequence[str], where: str,
           groups: Mapping[str, Sequence[str]] | None = None) -> tuple[str, ...]:
    """Those of the keys that numbers from 1, or themselves, or names of groups that are not empty, name; all for "". Raises
    UserError."""
    named = {**{key: (key,) for key in keys}, **{name: some for name, some in (groups or {}).items() if some}}
    numbered = {str(number): (key,) for number, key in enumerate(keys, 1)}
    found = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word not in named and word not in numbered:
            raise UserError(f"{where} has no row {word!r}", remedy=f"rows are 1 to {len(keys)}, or {', '.join(named)}")
        found += named.get(word) or numbered[word]
    return tuple(found or keys)


def chosen_seeds(text: str, usual: Sequence[int]) -> tuple[int, ...]:
    """Seeds of "0,1,2", the usual ones for "". Raises UserError."""
    if not text:
        return tuple(usual)
    try:
        seeds = INTEGERS.parse(text)
    except ValueError:
        seeds = ()
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0 or max(seeds) >= SEEDS:
        raise UserError(f"--seeds {text!r} is no list of different whole numbers from 0 to {SEEDS - 1}",
                        remedy="for example --seeds 0,1,2")
    return seeds


def refuse_own(options_class: type, words: Sequence[str], reserved: Iterable[str] = ()) -> Sequence[str]:
    """The words, flags of a family's script. Raises UserError for those that are the command's or, `reserved`, the experiment's
    own, and for unknown ones."""
    given = set(given_flags(options_class, words))
    for name in sorted(given.intersection(OWN)):
        raise UserError(f"{flag_name(name)} after -- is the table's to set", remedy="give it before --, or leave it out")
    for name in sorted(given.intersection(reserved)):
        raise UserError(f"{flag_name(name)} after -- is the experiment's to set", remedy="leave it out")
    return words


def given_flags(options_class: type, words: Iterable[str]) -> dict[str, Any]:
    """{option: value} of flags of a family's script."""
    return vars(build_parser(options_class, "").parse_args(list(words)))


def flags_of_trainings(options_class: type, words: Sequence[str], reserved: Iterable[str]) -> dict[str, Any]:
    """`given_flags` of an experiment's trainings. Raises UserError as `refuse_own`."""
    return given_flags(options_class, refuse_own(options_class, words, reserved))
