"""The rows of the factorial, and of the paper's tables among them."""
import pytest

from gluon_bof.commands import table
from gluon_bof.options.flags import as_dict
from gluon_bof.options.recipes import TABLES
from gluon_bof.paper import factorial, miniature
from tests.paper.made_up import planned


def test_the_factorial_has_every_cell_and_seed_once_with_all_its_evaluations(tmp_path):
    wanted = planned(tmp_path, seeds=miniature.SEEDS)
    assert len({job.name for job in wanted}) == 17 * len(miniature.SEEDS)
    for job in wanted:
        keys = [evaluation.key for evaluation in job.evaluations]
        assert keys == [f"{split}-{size}" for split in ("test", "test-other") for size in (96, 128, 192)] + \
            [f"{miniature.BASELINE.train_split}-128", "mechanisms-128"]
        assert "--sliding-patch 100" in " ".join(job.evaluations[-1].words)
        assert job.pretraining.options.name == "miniature-backbone"
        assert job.training.options.pretrained_base == job.pretraining.run.last_weights


@pytest.mark.parametrize("number, keys", ((1, factorial.TABLE_1_ROWS), (5, factorial.TABLE_5_ROWS), (6, factorial.TABLE_6_ROWS)))
def test_rows_of_the_papers_tables_differ_from_each_other_as_the_papers_do(tmp_path, number, keys):
    design = miniature.FASTER_RCNN if number == 6 else miniature.YOLO3
    ours = {job.row.key: job for job in factorial.plan((0,), str(tmp_path / "runs"), with_further=True, design=design)}
    rows = [ours[key] for key in keys]
    papers = TABLES[number].rows
    assert len(rows) == len(papers)
    for place in range(1, len(rows)):
        mine = [as_dict(row.row.options) for row in (rows[0], rows[place])]
        theirs = [as_dict(row.small.options) for row in (papers[0], papers[place])]
        changed = {name for name in mine[0] if mine[0][name] != mine[1][name]} - {"val_interval"}  # of Figure 6's rows
        assert changed == {name for name in theirs[0] if theirs[0][name] != theirs[1][name]}
        assert all(mine[1][name] == theirs[1][name] for name in changed)
    if number >= 5:
        assert [row.pretraining.options.mixup for row in rows] == [row.small.pretraining.mixup for row in papers]


def test_further_rows_are_made_where_they_are_asked_for_alone():
    for text, count in (("", 17), ("further", 6), ("baseline,further", 7), ("1,2", 2), ("half", 8)):
        assert len(factorial.chosen_rows(text, miniature.YOLO3)) == count
    for text, count in (("", 9), ("further", 2), ("baseline,further", 3)):
        assert len(factorial.chosen_rows(text, miniature.FASTER_RCNN)) == count
    words = ["miniature", "--rows", "further", "--seeds", "0"]
    work = table.work_of(table.read_arguments(words), words)
    assert len(work.wanted) == 6 and len(work.planned) == 17
    assert {job.pretraining.options.name for job in work.wanted} == {"miniature-backbone", "miniature-backbone-mixup"}
