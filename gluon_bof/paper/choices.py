"""What a command line chooses of a table or an experiment: rows, seeds, and flags of its trainings."""
from __future__ import annotations

from typing import Any, Iterable, Sequence

from gluon_bof.errors import UserError
from gluon_bof.options.flags import INTEGERS, build_parser, flag_name

OWN = ("dataset", "dataset_root", "recipe", "name", "runs", "resume", "seed", "gpus", "dry_run")  # set by the table, not after --


def chosen(text: str, keys: Sequence[str], where: str) -> tuple[str, ...]:
    """Those of the keys that numbers from 1, or themselves, name; all for "". Raises UserError."""
    found = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        place = int(word) - 1 if word.isdigit() else keys.index(word) if word in keys else -1
        if not 0 <= place < len(keys):
            raise UserError(f"{where} has no row {word!r}", remedy=f"rows are 1 to {len(keys)}, or {', '.join(keys)}")
        found.append(keys[place])
    return tuple(found or keys)


def chosen_seeds(text: str) -> tuple[int, ...]:
    """Seeds of "0,1,2". Raises UserError."""
    try:
        seeds = INTEGERS.parse(text)
    except ValueError:
        seeds = ()
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise UserError(f"--seeds {text!r} names none, one twice or one below 0", remedy="for example --seeds 0,1,2")
    return seeds


def refuse_own(options_class: type, words: Sequence[str]) -> Sequence[str]:
    """The words, flags of a family's script. Raises UserError for the table's own and unknown ones."""
    own = sorted(set(given_flags(options_class, words)) & set(OWN))
    if own:
        raise UserError(f"{flag_name(own[0])} after -- is the table's to set", remedy="give it before --, or leave it out")
    return words


def given_flags(options_class: type, words: Iterable[str]) -> dict[str, Any]:
    """{option: value} of flags of a family's script."""
    found = vars(build_parser(options_class, "").parse_args(list(words)))
    return {name: value for name, value in found.items() if value is not None}  # None: the word custom-model was not said


def flags_of_trainings(options_class: type, words: Sequence[str], reserved: Iterable[str]) -> dict[str, Any]:
    """`given_flags` of an experiment's trainings. Raises UserError for flags that are the command's or, `reserved`, the
    experiment's own."""
    found = given_flags(options_class, refuse_own(options_class, words))
    for name in sorted(set(reserved) & set(found)):
        raise UserError(f"{flag_name(name)} after -- is the experiment's to set", remedy="leave it out")
    return found
