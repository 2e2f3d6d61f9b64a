"""python -m gluon_bof pretrain: train a backbone as a classifier, with or without mixup (paper, Tables 5 and 6).

Its last.params is what a detector's --pretrained-base takes. Without --dataset: the objects of the embedded set."""
from __future__ import annotations

import sys

from gluon_bof.errors import user_facing
from gluon_bof.options.classifier import PretrainOptions, check_pretrain
from gluon_bof.options.flags import parse, to_json
from gluon_bof.training.classifier import train


@user_facing
def main(argv=None):
    """Train as the flags say; the last line on standard output is one JSON object with the accuracy."""
    options, given, dry_run = parse(PretrainOptions, PretrainOptions(), argv, __doc__)
    check_pretrain(options)
    if dry_run:
        print(to_json(options))
        return
    from gluon_bof.training.pipeline import run_training
    run_training(options, given, train)


if __name__ == "__main__":
    main(sys.argv[1:])
