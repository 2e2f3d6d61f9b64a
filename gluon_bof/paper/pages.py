"""Pages that bundles make: markdown between two marks, and pictures. Nothing else writes a measured number into these places.

    <!-- bundles: NAME -->
    what SECTIONS[NAME] makes of the bundles
    <!-- end -->"""
from __future__ import annotations

import json
import os
import re
import statistics
from functools import partial
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from gluon_bof import weights
from gluon_bof.errors import UserError
from gluon_bof.files import write_atomically
from gluon_bof.options.recipes import TABLE_1, TABLE_2, TABLE_3, TABLE_5
from gluon_bof.paper import bundles, effects, embedded, factorial, harness, miniature, photographs
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.effects import Effect, Measure, excludes_zero, judged

MARKED = re.compile(r"(<!-- bundles: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
OWN = factorial.OWN
AP = Measure("AP@[.5:.95]", (f"test-{OWN}",))
AP50 = Measure("mAP@0.5", (f"test-{OWN}",), "AP50")
OVER_SIZES = Measure("AP over " + ", ".join(map(str, miniature.SIZES)), tuple(f"test-{size}" for size in miniature.SIZES))
OTHER = Measure("AP in other contexts", (f"test-other-{OWN}",))
OWN_IMAGES = Measure("mAP@0.5 on its training images", (f"{miniature.BASELINE.train_split}-{OWN}",), "AP50")
MEASURES = {"yolo3": (AP, AP50, OVER_SIZES, OTHER), "faster_rcnn": (AP, AP50, OTHER)}
FITTED = 97.0  # points of OWN_IMAGES that a row must reach (docs/miniature.md)
TEST, TEST50, TRAIN50 = (Measure("AP@[.5:.95]", ("test",)), Measure("mAP@0.5", ("test",), "AP50"),
                         Measure("mAP@0.5 on its training images", ("train",), "AP50"))
DETECTORS = {"yolo3": "YOLOv3", "faster_rcnn": "Faster R-CNN"}
OF_PAPER = {"yolo3": TABLE_2, "faster_rcnn": TABLE_3}  # whose stacked rows a factorial has


class Picture(NamedTuple):
    """A picture of a results' folder. numbers: what it shows; draw(path) writes it."""

    file: str
    numbers: Any
    draw: Callable[[str], None]


# ---- filling pages -------------------------------------------------------------------------------------------------

def filled(text: str, store: Store) -> str:
    """The page with what the bundles give between its marks. Raises UserError for a mark that no section has, and for bundles of
    other configurations."""
    def of_mark(match):
        name = match["name"]
        if name not in SECTIONS:
            raise UserError(f"no section is called {name!r}", remedy=f"known are {', '.join(SECTIONS)}")
        return f"{match[1]}{SECTIONS[name](store).strip()}\n{match[3]}"

    return MARKED.sub(of_mark, text)


def pages_in(folder: str) -> list[str]:
    """Paths of the marked pages of a folder."""
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".md")]
    return [path for path in paths if MARKED.search(_read(path))]


def write_pages(paths: Iterable[str], results: str) -> list[str]:
    """Fill pages and draw the pictures anew where they are not those of the bundles. Returns the paths of what changed."""
    from gluon_bof.paper.pictures import digest_in, digest_of

    store, changed = Store(results), []
    for path in paths:
        before = _read(path)
        after = filled(before, store)
        if after != before:
            write_atomically(path, after.encode())
            changed.append(path)
    for picture in pictures(store):
        path = os.path.join(results, picture.file)
        if digest_in(path) != digest_of(picture.numbers):
            picture.draw(path)
            changed.append(path)
    return changed


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def told(effect: Effect, tests: int = 1) -> str:
    """An effect with its interval, bold where that excludes 0 at 1 - 0.05 / tests."""
    text = f"{effect.mean:+.2f}" + (f" ± {effect.half_width:.2f}" if effect.half_width != float("inf") else "")
    return f"**{text}**" if excludes_zero(effect, tests) else text


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation of runs."""
    if not values:
        return ""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def _refuse_others(found, planned, store):
    """Raise UserError where a bundle is not what the job of its name would be now, or no job has its name."""
    by_name = {job.name: job for job in planned}
    for bundle in found:
        if bundle["name"] not in by_name:
            raise UserError("no run of the experiment has this name any more", store.path(bundle["name"]), "move it away")
        bundles.refuse_other(bundle, by_name[bundle["name"]].configuration(), store.path(bundle["name"]))


def made_by(found: Sequence[Mapping[str, Any]]) -> str:
    """On what, when and from which revisions bundles were made, in a sentence."""
    if not found:
        return ""
    cpus = sorted({bundle["machine"]["cpu"] for bundle in found})
    revisions = sorted({bundle["git_revision"][:10] + ("-dirty" if bundle["git_revision"].endswith("-dirty") else "")
                        for bundle in found})
    days = sorted(bundle["times"]["finished"][:10] for bundle in found)
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    hours = sum(map(harness.minutes_of, found)) / 60
    return (f"{len(found)} bundles in [runs/](runs/), {when}, {hours:.1f} hours of runs on {', '.join(cpus)}, "
            f"from {'revision' if len(revisions) == 1 else 'revisions'} {', '.join(revisions)}.")


# ---- the miniature -------------------------------------------------------------------------------------------------

def miniature_bundles(store: Store, family: str = "yolo3") -> list[dict[str, Any]]:
    """The factorial's bundles. Raises UserError where one is of another configuration."""
    keys = {cell.key for cell in miniature.cells(miniature.DESIGNS[family])}
    return [bundle for bundle in _all_of_miniature(store, family) if bundle["row"] in keys]


def _all_of_miniature(store, family="yolo3"):
    """Bundles of all its rows, without the backbones'."""
    design = miniature.DESIGNS[family]
    found = [bundle for bundle in store.of(design.name) if bundle["row"] != harness.Backbone().key]
    if found:
        seeds = sorted({bundle["seed"] for bundle in found})
        _refuse_others(found, factorial.plan(seeds, with_further=True, design=design), store)
    return found


def _of_whole_seeds(found, family="yolo3"):
    """(bundles of whole seeds, those seeds)."""
    seeds = effects.whole_seeds(found, miniature.DESIGNS[family])
    return [bundle for bundle in found if bundle["seed"] in seeds], seeds


def miniature_summary(store: Store, family: str = "yolo3") -> str:
    """Effects of the freebies, with a picture."""
    design, measures = miniature.DESIGNS[family], MEASURES[family]
    tests = len(design.factors)
    found = miniature_bundles(store, family)
    whole, seeds = _of_whole_seeds(found, family)
    status = _status(found, seeds, design)
    if not seeds:
        return status
    by_measure = {measure: effects.effects_of(effects.numbers_of(whole, measure), design) for measure in measures}
    titles = [measure.title for measure in measures]
    main = table(["main effect, points", *titles, "on AP"],
                 [[factor, *(told(by_measure[measure].main[factor], tests) for measure in measures),
                   judged(by_measure[AP].main[factor], tests)] for factor in design.factors])
    steps = table(["row of the paper, against the row before", *titles, "on AP"],
                  [[name, *(told(pick(by_measure[measure])) for measure in measures), judged(pick(by_measure[AP]))]
                   for name, pick in _steps(design)])
    return "\n".join([status, "", f"![Effects with their 95% intervals]({design.name}-effects.png)", "",
                      "*Squares: means with 95% intervals; dots: seeds; diamonds: the paper's steps on VOC (mAP@0.5).*", "",
                      main, steps, _gauge(whole, design)])


def _status(found, seeds, design=miniature.YOLO3):
    if not found:
        return "No run of the factorial has a bundle yet."
    numbers = ", ".join(map(str, seeds))
    whole = {0: "no seed is whole yet, so no effect is told", 1: f"seed {numbers} is whole; intervals need two"}
    return (f"{len(found)} runs, {len(miniature.cells(design))} a seed; {whole.get(len(seeds), f'seeds {numbers} are whole')}. "
            "± is half of Student's 95% interval, paired within a seed; bold where it excludes 0 "
            f"(main effects: at 1 − 0.05/{len(design.factors)}).")


def _steps(design):
    """[(name, Effects -> Effect)] of the paper's stacked rows and the whole bag."""
    names = [(f"+ {key.rpartition('+')[2]}", lambda found, key=key: found.steps[key]) for key in miniature.stacked(design)[2:]]
    return [("baseline, over no augmentation", lambda found: found.augmentation), *names,
            ("**whole bag, over the baseline**", lambda found: found.bag)]


def _gauge(found, design):
    """Which rows fit their training images, in a sentence."""
    fits = _by_row(found, OWN_IMAGES, design)
    under = [key for key, values in fits.items() if statistics.mean(values) < FITTED]
    if not under:
        return f"Every row has at least {FITTED:g}% mAP@0.5 on its own training images, as the protocol asks."
    bag = miniature.stacked(design)[-1]
    words = (f"**{len(under)} of {len(fits)} rows do not reach {FITTED:g}% mAP@0.5 on their own training images** and are "
             "underfitted by the protocol")
    return words + ("; the whole bag is among them, so this says nothing about the paper's regime." if bag in under else ".")


def _by_row(found, measure, design):
    """{row: [points, by seed]} in the factorial's order."""
    numbers = effects.numbers_of(found, measure)
    seeds = sorted({seed for _, seed in numbers})
    rows = {cell.key: [numbers[cell.key, seed] for seed in seeds if (cell.key, seed) in numbers]
            for cell in miniature.cells(design)}
    return {key: values for key, values in rows.items() if values}


def miniature_rows(store: Store, family: str = "yolo3") -> str:
    """Every row with its runs, the gauge beside it; interactions."""
    design, measures = miniature.DESIGNS[family], MEASURES[family]
    found = miniature_bundles(store, family)
    if not found:
        return _status(found, [])
    columns = {measure: _by_row(found, measure, design) for measure in (*measures, OWN_IMAGES)}
    rows = []
    for key, values in columns[AP].items():
        fit = columns[OWN_IMAGES][key]
        gap = [own - test for own, test in zip(fit, columns[AP50][key])]
        mark = "" if statistics.mean(fit) >= FITTED else " (underfitted)"
        rows.append([key, *(spread(columns[measure][key]) for measure in measures), spread(fit) + mark, spread(gap),
                     ", ".join(f"{value:.2f}" for value in values)])
    head = ["row", *(measure.title for measure in measures), OWN_IMAGES.title, "gap to the test", "AP of each seed"]
    parts = [f"![Every row]({design.name}-rows.png)", "", table(head, rows)]
    whole, seeds = _of_whole_seeds(found, family)
    if seeds:
        pairs = effects.effects_of(effects.numbers_of(whole, AP), design).interactions
        parts += ["Interactions, shown and not tested: by how much more the first gains where the second is on, points of AP.",
                  "", table(["", "AP"], [[" with ".join(pair), told(effect).strip("*")] for pair, effect in pairs.items()])]
    backbone = store.read(design.backbone.name)
    base = f"The backbone tells {100 * backbone['training']['accuracy']:.1f}% of the single objects that it is validated on.\n" \
        if backbone else ""
    return "\n".join([*parts, base, made_by(found)])


def miniature_tables(store: Store) -> str:
    """Tables 1, 4 and 5 at the miniature's scale, with the paper's differences beside ours."""
    found = _all_of_miniature(store)
    if not found:
        return "No run has a bundle yet."
    at = [(f"at {size}", Measure(f"AP at {size}", (f"test-{size}",))) for size in miniature.SIZES]
    bag = miniature.stacked()[-1]
    parts = ["Table 1, ways to mix (the paper: YOLOv3 on VOC, mAP@0.5):", "",
             _small_table(found, TABLE_1, factorial.TABLE_1_ROWS, AP50),
             "Table 4, baseline and whole bag over sizes:", "",
             table(["", "baseline", "whole bag", "difference"],
                   [[name, *_pair(found, measure, "baseline", bag)] for name, measure in at]),
             "Table 5, mixup of the backbone and of the detector (the paper: YOLOv3 on COCO, AP@[.5:.95]):", "",
             _small_table(found, TABLE_5, factorial.TABLE_5_ROWS, AP)]
    return "\n".join(parts)


def _small_table(found, of_paper, keys, measure):
    """A table of the paper with our rows; differences are to its first row, in the seeds that both have."""
    base = of_paper.rows[0].paper_value
    names = [row.name.replace("darknet53", "backbone").replace("YOLO3", "detector") for row in of_paper.rows]
    rows = []
    for name, row, key in zip(names, of_paper.rows, keys):
        _, ours, gain = _pair(found, measure, keys[0], key)
        rows.append([name, ours, gain, f"{row.paper_value - base:+.2f}"] if rows else [name, ours, "", ""])
    return table(["row", measure.title, "against the first", "the paper's"], rows)


def _pair(found, measure, over, key):
    """(numbers of a row, of another, their difference) as text, of the seeds that both have."""
    first, second = _numbers(found, measure, over), _numbers(found, measure, key)
    shared = {seed: second[seed] - first[seed] for seed in second if seed in first}
    return (spread(list(first.values())), spread(list(second.values())), told(miniature.over_seeds(shared)) if shared else "")


def _numbers(found, measure, key):
    """{seed: points} of a row."""
    return {bundle["seed"]: measure.of(bundle) for bundle in found if bundle["row"] == key}


def _miniature_pictures(store, family):
    from gluon_bof.paper import pictures as drawing

    design = miniature.DESIGNS[family]
    found = miniature_bundles(store, family)
    if not found:
        return []
    points, fits = (_by_row(found, measure, design) for measure in (AP, OWN_IMAGES))
    rows = [(cell.on, points.get(cell.key, []), fits.get(cell.key, [])) for cell in miniature.cells(design)]
    titles = (f"{AP.title} on the test", OWN_IMAGES.title)
    factors = list(design.factors)
    made = [Picture(f"{design.name}-rows.png", [factors, rows, titles, FITTED],
                    lambda path: drawing.matrix(path, factors, rows, titles, FITTED))]
    whole, seeds = _of_whole_seeds(found, family)
    if seeds:
        panels = [_effects_panel(whole, AP, family, False), _effects_panel(whole, AP50, family, True)]
        made.append(Picture(f"{design.name}-effects.png", panels, lambda path: drawing.forest(path, panels)))
    return made


def _effects_panel(found, measure, family, with_paper):
    from gluon_bof.paper.pictures import Bar, Panel

    told_effects = effects.effects_of(effects.numbers_of(found, measure), miniature.DESIGNS[family])
    of_paper = OF_PAPER[family].rows
    papers = {row.key: row.paper_value - before.paper_value for before, row in zip(of_paper, of_paper[1:])}
    whole = of_paper[-1].paper_value - OF_PAPER[family].row("baseline").paper_value

    def bar(name, effect, paper=None):
        return Bar(name, effect.mean, effect.half_width, tuple(effect.by_seed.values()), paper if with_paper else None)

    main = [bar(name, effect) for name, effect in told_effects.main.items()]
    steps = [bar(f"+ {key.rpartition('+')[2]}", effect, papers[key.rpartition("+")[2]])
             for key, effect in told_effects.steps.items()]
    return Panel(measure.title, {"main effects": main, "stacked rows, each over the one before": steps,
                                 "all together, over the baseline": [bar("whole bag", told_effects.bag, whole)]})


# ---- photographs ---------------------------------------------------------------------------------------------------

def _photograph_sets(store):
    """{set: its bundles}, and how many folds it has."""
    names = {}
    for experiment in sorted({bundle["experiment"] for bundle in store.everything()}):
        name = experiment[len(photographs.EXPERIMENT) + 1:]
        if experiment.startswith(f"{photographs.EXPERIMENT}-"):
            found = [bundle for bundle in store.of(experiment) if "fold" in bundle]
            if found:
                names[name] = found
    return names


def _checked_folds(name, found, store):
    """The number of folds. Raises UserError where bundles are of another configuration than would be run now, or of other
    folds."""
    data = found[0]["configuration"]["data"]
    path = os.path.join(os.path.dirname(store.folder), f"folds-{name}-{data['folds']}.json")
    if not os.path.exists(path):
        raise UserError("the folds of these bundles are missing", path, "bring the file from where they were made")
    folds = photographs.Folds(name, data["folds"], name, tuple(found[0]["evaluations"]["test"]["per_class"]),
                              photographs.told_folds(name, data["folds"], path))
    _refuse_others(found, photographs.plan(folds, sorted({bundle["seed"] for bundle in found})), store)
    return data["folds"]


def photographs_summary(store: Store) -> str:
    """Baseline and whole bag of both detectors on every set."""
    sets = _photograph_sets(store)
    if not sets:
        return "No run has a bundle yet."
    parts = []
    rows, bars = [], _photograph_bars(store)
    for name, found in sets.items():
        for family, detector in DETECTORS.items():
            rows += _photograph_rows(name, found, family, detector)
    parts.append(table(["set", "detector", "", TEST.title, TEST50.title, TRAIN50.title, "runs"], rows))
    if bars:
        parts += ["![Whole bag less baseline](photographs-effects.png)", "",
                  "*Dots are folds. The 95% interval is Student's over the folds, widened for the training images that they "
                  "share (Nadeau and Bengio, 2003).*", "",
                  table(["set, detector", "whole bag less baseline, AP", "not widened", "folds, seeds", ""],
                        [[label, folded(found), f"± {found.half_width:.2f}", f"{len(found.by_fold)}, {len(seeds)}",
                          _judged_folds(found)] for label, found, seeds in bars])]
    everything = [bundle for found in sets.values() for bundle in found]
    return "\n".join([*parts, made_by(everything)])


def _photograph_rows(name, found, family, detector):
    rows = []
    for setting in photographs.SETTINGS:
        of_row = [bundle for bundle in found if bundle["row"] == setting.key]
        if setting.family == family and of_row:
            numbers = [[measure.of(bundle) for bundle in of_row] for measure in (TEST, TEST50, TRAIN50)]
            rows.append([name, detector, "whole bag" if setting.is_bag else "baseline", *map(spread, numbers), str(len(of_row))])
    return rows


def _photograph_bars(store):
    """[(label, Folded, seeds)] of the sets and detectors of which a seed is whole."""
    made = []
    for name, found in _photograph_sets(store).items():
        folds = _checked_folds(name, found, store)
        for family, detector in DETECTORS.items():
            baseline, bag = (photographs.Setting(family, is_bag).key for is_bag in (False, True))
            differences, seeds = effects.paired_folds(found, TEST, bag, baseline, range(folds))
            if seeds:
                made.append((f"{name}, {detector}", effects.over_folds(differences), seeds))
    return made


def folded(found: effects.Folded) -> str:
    """A difference over folds with its widened interval."""
    return f"{found.mean:+.2f} ± {found.corrected:.2f}"


def _judged_folds(found):
    return ("gain" if found.mean > 0 else "loss") if abs(found.mean) > found.corrected else "not resolved"


def _photograph_pictures(store):
    from gluon_bof.paper import pictures as drawing

    bars = [drawing.Bar(label, found.mean, found.corrected, tuple(found.by_fold.values()))
            for label, found, _ in _photograph_bars(store)]
    if not bars:
        return []
    panels = [drawing.Panel("whole bag less baseline, AP@[.5:.95]", {"mean over folds with 95% interval": bars})]
    return [Picture("photographs-effects.png", panels, lambda path: drawing.forest(path, panels))]


# ---- the embedded jobs, and what the package ships -----------------------------------------------------------------

def embedded_bundles(store: Store) -> dict[str, list[dict[str, Any]]]:
    """{family: its bundles, by seed}. Raises UserError where one is of another configuration."""
    found = store.of(embedded.EXPERIMENT)
    if found:
        _refuse_others(found, embedded.plan(sorted({bundle["seed"] for bundle in found})), store)
    return {row.family: sorted((bundle for bundle in found if bundle["row"] == row.key), key=lambda bundle: bundle["seed"])
            for row in embedded.ROWS}


def embedded_summary(store: Store) -> str:
    """mAP@0.5 of every seed, and of every class."""
    found = embedded_bundles(store)
    if not any(found.values()):
        return "No run has a bundle yet."
    parts = []
    for family, of_family in found.items():
        if of_family:
            classes = list(of_family[0]["evaluations"]["own"]["per_class"])
            rows = [[str(bundle["seed"]), f"{bundle['evaluations']['own']['map']:.4f}",
                     ", ".join(f"{bundle['evaluations']['own']['per_class'][name]:.3f}" for name in classes),
                     f"{bundle['times']['training_seconds'] / 60:.1f}"] for bundle in of_family]
            parts += [f"{DETECTORS[family]}:", "", table(["seed", "mAP@0.5", ", ".join(classes), "minutes by the clock"], rows)]
    return "\n".join([*parts, made_by([bundle for of_family in found.values() for bundle in of_family])])


def shipped_summary(store: Store) -> str:
    """What the package ships, by the JSON beside each file."""
    rows = []
    for stem, name in (("darknet-mini", "--pretrained-base shipped"), ("darknet-mini-mixup", "--pretrained-base shipped-mixup"),
                       ("yolo3_shapes", "shapes")):
        about = shipped(stem)
        result = f"mAP@0.5 {about['map']:.3f}" if "map" in about else f"{100 * about['accuracy']:.1f}%"
        rows.append([f"`{stem}.params`, `{name}`", result, f"`{about['command']}`"])
    return table(["file, name", "result", "command"], rows)


def shipped(stem: str) -> dict[str, Any]:
    """What the JSON beside shipped weights says."""
    return json.loads(_read(os.path.join(os.path.dirname(weights.__file__), "shipped", f"{stem}.json")))


def readme_table(store: Store) -> str:
    """The README's measured numbers in one table."""
    rows = []
    what = {"yolo3": "YOLOv3 from the shipped backbone, `make train`",
            "faster_rcnn": "Faster R-CNN, `gluon-bof train faster_rcnn`"}
    for family, found in embedded_bundles(store).items():
        if found:
            values = [bundle["evaluations"]["own"]["map"] for bundle in found]
            each = ", ".join(f"{value:.3f}" for value in values)
            rows.append([what[family], "1,000 drawn images", f"mAP@0.5 {statistics.mean(values):.3f} "
                                                             f"({'seeds' if len(values) > 1 else 'seed'}: {each})"])
    rows.append(["YOLOv3, the shipped weights `shapes`", "the drawn images", f"mAP@0.5 {shipped('yolo3_shapes')['map']:.3f}"])
    for family, design in miniature.DESIGNS.items():
        whole, seeds = _of_whole_seeds(miniature_bundles(store, family), family)
        if seeds:
            bag = effects.effects_of(effects.numbers_of(whole, AP), design).bag
            rows.append([f"{DETECTORS[family]}, the whole bag against the baseline", f"`vocmini`, {len(seeds)} seeds",
                         f"{told(bag)} points of AP"])
    rows += [["whole bag against the baseline", label, f"{folded(found)} points of AP, {len(found.by_fold)} folds"]
             for label, found, _ in _photograph_bars(store)]
    return table(["what", "data", "result"], rows)


def pictures(store: Store) -> list[Picture]:
    """Every picture that the bundles give."""
    of_miniature = [picture for family in miniature.DESIGNS for picture in _miniature_pictures(store, family)]
    return [*of_miniature, *_photograph_pictures(store)]


SECTIONS = {"miniature": miniature_summary, "miniature-rows": miniature_rows,
            "miniature-tables": miniature_tables, "miniature-faster-rcnn": partial(miniature_summary, family="faster_rcnn"),
            "miniature-faster-rcnn-rows": partial(miniature_rows, family="faster_rcnn"), "photographs": photographs_summary,
            "embedded": embedded_summary, "shipped": shipped_summary, "measured": readme_table}
