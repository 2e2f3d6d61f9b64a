"""gluon-bof table: what cannot be meant is refused, and what pages will refuse is told. (What it runs: tests/paper.)"""
import pytest

from gluon_bof.commands import table
from gluon_bof.errors import UserError
from gluon_bof.paper import pages
from gluon_bof.paper.bundles import Store
from tests.paper.made_up import bundle_for


@pytest.mark.parametrize("words, message", [
    (["miniature", "--cost"], "--cost does nothing for miniature"), (["miniature", "--gpus", "0"], "--gpus does nothing"),
    (["miniature", "--rows", "24"], "no row '24'"), (["miniature", "--rows", "0"], "no row '0'"),
    (["miniature", "--detector", "faster_rcnn", "--rows", "half"], "no row 'half'"), (["embedded", "--rows", "²"], "no row '²'"),
    (["bag", "--rows", "friends"], "no row 'friends'"), (["miniature", "--hours", "0"], "--hours: '0' is no number above 0"),
    (["embedded", "--folds", "3"], "--folds is for photographs alone"),
    (["2", "--detector", "faster_rcnn"], "for miniature alone"),
    (["photographs"], "give --dataset"), (["photographs", "--dataset", "x", "--", "--", "--lr", "1"], "a second --"),
    (["embedded", "--dataset", "x"], "--dataset does nothing"),
    (["miniature", "--", "--pretrained-base", "x"], "--pretrained-base after --"),
    (["miniature", "--", "--transfer", "x"], "--transfer after --"),
    (["upsampling", "--plan", "--", "--pretrained-base", "x"], "--pretrained-base after --"),
    (["miniature", "--", "--seed", "3"], "--seed after --")])
def test_arguments_that_cannot_be_meant_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        table.work_of(table.read_arguments(words), words)


@pytest.mark.parametrize("words, is_told", [((), False), (("--", "--epochs", "2"), True)])
def test_runs_that_the_pages_will_refuse_are_told_before_they_start(words, is_told, tmp_path, capsys):
    words = ["embedded", "--rows", "ssd", "--seeds", "0", "--out", str(tmp_path), *words]
    job, = table.work_of(table.read_arguments(words), words).wanted
    Store(str(tmp_path)).write(bundle_for(job))  # so that nothing is left to run
    assert table.main(words) == 0
    assert ("which pages refuse" in capsys.readouterr().err) == is_told
    if is_told:
        with pytest.raises(UserError, match="--epochs 2 and not"):
            pages.embedded_summary(Store(str(tmp_path)))
