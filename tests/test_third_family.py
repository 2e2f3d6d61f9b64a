"""A family that is made up passes every contract: one options file, one module of models, one script and one row are all that
a family owes. tests/third_family is the example to begin a new one from."""
import json

import pytest

pytest.register_assert_rewrite("tests.contracts")

from gluon_bof.commands import predict, weights  # noqa: E402
from gluon_bof.commands import train as train_command  # noqa: E402
from gluon_bof.options import families  # noqa: E402
from tests.contracts import (  # noqa: E402,F401
    Case,
    Contracts,
    folder_of_a_run,
    initialised,
    lively_network,
    start_of_the_run,
)
from tests.third_family import FAMILY  # noqa: E402
from tests.third_family.model import Cells  # noqa: E402

WORDS = "--dataset voc --pretrained-base no -j 0 --log-interval 1 --gpus= --seed 3"


@pytest.fixture(scope="module")
def case():
    """The made-up family at its own size, its row in the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "FAMILIES", [*families.FAMILIES, FAMILY])
        yield Case(FAMILY, tuple(WORDS.split()), lambda classes: initialised(Cells(classes)), ("box", "class"))


@pytest.mark.slow  # what the package's own families hold in tests/test_contracts.py
class TestThirdFamily(Contracts):
    """A made-up family by the same contracts."""


def test_the_commands_know_it(case, folder, tmp_path, capsys):
    assert train_command.main(["--help"]) == 0
    assert "cells" in capsys.readouterr().out
    assert train_command.main(["cells", *case.words, "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["network"] == "conv4"
    assert weights.main(["show", folder.whole.last_weights]) == 0
    images = str(folder.path / "set" / "VOC2007" / "JPEGImages")
    assert predict.main([folder.whole.folder, images, "--out", str(tmp_path)]) == 0
