"""The recipes against the paper's tables, transcribed here by hand and read from its text where that lies beside."""
import dataclasses
import re
from pathlib import Path

import pytest

import train_yolo3
from gluon_bof.errors import UserError
from gluon_bof.options.faster_rcnn import FasterRcnnOptions
from gluon_bof.options.recipes import RECIPES, TABLES

PAPER = Path(__file__).resolve().parents[3] / "shared" / "papers" / "bag-of-freebies.txt"

# typed from the paper, row by row
NUMBERS = {
    1: [("baseline", 81.5), ("0.5:0.5 evenly", 83.05), ("beta(1.0, 1.0), weighted loss", 83.48),
        ("beta(1.5, 1.5), weighted loss", 83.54)],
    2: [("- data augmentation", 64.26), ("baseline", 80.25), ("+ synchronize BN", 80.81), ("+ random training shapes", 81.23),
        ("+ cosine lr schedule", 81.69), ("+ class label smoothing", 82.14), ("+ mixup", 83.68)],
    3: [("- data augmentation", 77.61), ("baseline", 77.77), ("+ cosine lr schedule", 79.59),
        ("+ class label smoothing", 80.23), ("+ mixup", 81.32)],
    4: [("Faster-RCNN R50, Orig", 36.5), ("Faster-RCNN R50, Our BoF", 37.6), ("Faster-RCNN R101, Orig", 39.4),
        ("Faster-RCNN R101, Our BoF", 41.1), ("YOLOv3, Orig", 33.0), ("YOLOv3, Our BoF", 37.0)],
    5: [("-Mixup darknet53, -Mixup YOLO3", 35.0), ("-Mixup darknet53, +Mixup YOLO3", 35.3),
        ("+Mixup darknet53, -Mixup YOLO3", 36.4), ("+Mixup darknet53, +Mixup YOLO3", 37.0)],
    6: [("-Mixup R101, -Mixup FRCNN", 39.9), ("-Mixup R101, +Mixup FRCNN", 40.1), ("+Mixup R101, -Mixup FRCNN", 40.1),
        ("+Mixup R101, +Mixup FRCNN", 41.1)],
}
# Tables 2 and 3 also print each row's distance from the baseline
DELTAS = {2: [-15.99, 0, 0.56, 0.98, 1.44, 1.89, 3.43], 3: [-0.16, 0, 1.82, 2.46, 3.55]}


def read_tables():
    """{number: [(name, [numbers])]} of the tables in the paper's text: the lines of cells before each caption."""
    found, cells = {}, []
    for text in PAPER.read_text(encoding="utf-8").splitlines():
        text = re.sub(r"</?b>", "", text)
        caption = re.match(r"Table (\d)\. ", text)
        if caption:
            found[int(caption.group(1))], cells = cells, []
        elif "\t" in text:
            name, *values = text.split("\t")
            if values and all(re.fullmatch(r"[-+]?[\d.]+", value) for value in values):
                cells.append((re.sub(r" \[\d+\]", "", name), [float(value) for value in values]))
    return found


@pytest.mark.parametrize("number", TABLES)
def test_every_row_has_the_papers_name_and_number(number):
    assert [(row.name, row.paper_value) for row in TABLES[number].rows] == NUMBERS[number]
    assert len({row.key for row in TABLES[number].rows}) == len(NUMBERS[number])


@pytest.mark.parametrize("number", TABLES)
def test_the_numbers_are_those_of_the_papers_text(number):
    if not PAPER.is_file():
        pytest.skip("the paper's text is not beside the checkout")
    read = read_tables()[number]
    ours = [row.paper_value for row in TABLES[number].rows]
    if number in (1, 2, 3):
        assert [(row.name, row.paper_value) for row in TABLES[number].rows] == [(name, values[0]) for name, values in read]
        if number in DELTAS:
            assert [values[1] for _, values in read] == DELTAS[number]
    else:  # two numbers a line; Table 4's third is their distance
        assert ours == [value for _, values in read for value in values[:2]]
        names = [name for name, _ in read for _ in range(2)]
        assert all(row.name.startswith(name) for row, name in zip(TABLES[number].rows, names))
    if number == 4:
        assert [round(values[1] - values[0], 1) for _, values in read] == [values[2] for _, values in read]


@pytest.mark.parametrize("number", DELTAS)
def test_gains_are_counted_from_the_papers_baseline(number):
    table = TABLES[number]
    assert [round(row.paper_value - table.row(row.baseline_key).paper_value, 2) for row in table.rows] == DELTAS[number]


def changed_fields(before, after):
    return {field.name for field in dataclasses.fields(before) if getattr(before, field.name) != getattr(after, field.name)}


@pytest.mark.parametrize("scale", ("paper", "small"))
@pytest.mark.parametrize("number, expected", [
    (1, [{"mixup", "mixup_loss"}, {"mixup", "mixup_loss", "mixup_alpha", "mixup_beta"}, {"mixup_alpha", "mixup_beta"}]),
    (2, [{"no_augment"}, {"syncbn"}, {"no_random_shape"}, {"lr_mode"}, {"label_smooth_eps"}, {"mixup"}]),
    (3, [{"no_augment"}, {"lr_mode"}, {"label_smooth_eps"}, {"mixup"}]),
])
def test_a_row_is_the_one_before_it_with_one_thing_replaced(number, expected, scale):
    options = [getattr(row, scale).options for row in TABLES[number].rows]
    assert [changed_fields(*pair) for pair in zip(options, options[1:])] == expected


def test_the_whole_bag_is_on_where_it_should_be_and_nothing_of_it_where_not():
    rows = {row.key: row.paper for row in TABLES[4].rows}
    for key, scale in rows.items():
        on = key.endswith("bof")
        assert (scale.options.mixup, scale.options.label_smooth_eps, scale.options.lr_mode) == (
            ("beta", 0.1, "cosine") if on else ("", 0.0, "step"))
    assert rows["yolo3-bof"].options.syncbn and not rows["yolo3-bof"].options.no_random_shape
    assert rows["yolo3-bof"].sizes == (320, 416, 608) and rows["r50-bof"].sizes == ()
    grid = [(row.paper.pretraining.mixup, row.paper.options.mixup) for row in TABLES[5].rows + TABLES[6].rows]
    assert grid == [("", ""), ("", "beta"), ("beta", ""), ("beta", "beta")] * 2
    assert {row.paper.pretraining.network for row in TABLES[5].rows} == {"darknet53"}
    assert {row.paper.pretraining.network for row in TABLES[6].rows} == {"resnet101_v1d"}


@pytest.mark.parametrize("number", TABLES)
def test_every_setting_that_is_not_a_default_names_its_source(number):
    named = {word for fields in TABLES[number].sources for word in fields.split()}
    for row in TABLES[number].rows:
        for options in filter(None, (row.paper.options, row.paper.pretraining)):
            missing = changed_fields(type(options)(), options) - named
            assert not missing, f"{row.name}: {missing}"


@pytest.mark.parametrize("number", TABLES)
def test_mixup_ends_before_training_does(number):
    for row in TABLES[number].rows:
        for scale in (row.paper, row.small):
            epochs = scale.options.epochs or (26 if scale.options.dataset == "coco" else 20)
            assert isinstance(scale.options, FasterRcnnOptions) or scale.options.epochs
            assert 0 < scale.options.no_mixup_epochs < epochs


def test_a_name_that_no_recipe_has_is_a_users_error_and_asked_for_as_in_any_mapping():
    assert "nope" not in RECIPES and RECIPES.get("nope") is None and "table-2/mixup" in RECIPES
    with pytest.raises(UserError, match="^no recipe 'nope'; choose one of"):
        RECIPES["nope"]


def test_the_list_names_every_recipe_of_the_family_with_what_it_reaches(capsys):
    with pytest.raises(SystemExit) as ended:
        train_yolo3.main(["--list-recipes"])
    lines = capsys.readouterr().out.splitlines()
    assert not ended.value.code and {line.split()[0] for line in lines} == RECIPES.of_family("yolo3").keys()
    assert "the paper, Table 2: + mixup; voc07 83.7%" in next(line for line in lines if line.startswith("table-2/mixup "))


@pytest.mark.parametrize("name, reached", [
    ("table-4/yolo3-bof", "coco at 608 pixels 37.0% ± 0.5"), ("table-5/mixup-plain", "coco at 608 pixels 36.4% ± 0.5"),
    ("table-4/yolo3-orig", "coco at 608 pixels 33.0%, another program's training"),
    ("table-4/r101-orig", "coco 39.4%, another program's training"), ("table-4/r101-bof", "coco 41.1% ± 0.5"),
    ("mask_rcnn/embedded", "mask AP@0.5 95.6% ± 3.0, 4 min")])
def test_what_a_recipe_reaches_is_told_with_its_size_and_not_asked_of_it_where_another_program_reached_it(name, reached):
    assert RECIPES[name].summary().endswith(f"; {reached}")
    assert (RECIPES[name].tolerance is None) == name.endswith("-orig")
