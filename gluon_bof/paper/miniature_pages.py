"""What the miniature's bundles say: effects, every row with the regime gauge, and the paper's tables at its scale."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence

from gluon_bof.options.recipes import TABLE_1, TABLE_5, TABLE_6
from gluon_bof.paper import effects, factorial, harness, miniature
from gluon_bof.paper.effects import Measure, judged, paired_rows, points_of_row
from gluon_bof.paper.miniature import FITTED
from gluon_bof.paper.miniature_numbers import (
    AP,
    AP50,
    MEASURES,
    MECHANISMS,
    OWN_IMAGES,
    all_of_miniature,
    by_row,
    class_changes,
    end_rows,
    fit_in,
    fits_of,
    miniature_bundles,
    of_factorial,
    pairs_of_classes,
    paper_steps,
    step_effects,
    whole_bag,
)
from gluon_bof.paper.words import (
    DETECTORS,
    NO_RUN,
    Picture,
    below,
    made_by,
    mark,
    of_seeds,
    spread,
    spread_of_fit,
    table,
    told,
    underfitted,
)

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

FIGURE_OF = {"yolo3": 8, "faster_rcnn": 9}  # of the paper: AP of every class
NONE_YET = "No run of the factorial has a bundle yet."


def miniature_summary(store: Store, family: str = "yolo3") -> str:
    """Effects of the freebies, with a picture."""
    design, measures = miniature.DESIGNS[family], MEASURES[family]
    everything = all_of_miniature(store, family)
    found = of_factorial(everything, family)
    if not found:
        return NONE_YET
    basis = effects.told_from(found, design)
    parts = [_headline(found, family, "The whole bag against the baseline", end_rows(family)),
             _headline(everything, family, f"The same, both for {miniature.LONGER['epochs']} epochs in place of "
                       f"{miniature.BASELINE.epochs}", factorial.LONGER_ROWS),
             _status(found, design, basis)]
    if basis.seeds or step_effects(found, AP, family):
        parts += [f"![Effects with their 95% intervals]({design.name}-effects.png)",
                  "*Squares: means with 95% intervals, hollow where the row, or of a main effect one of its rows, is underfitted;"
                  " dots: seeds; diamonds: the paper's steps on VOC (mAP@0.5), of the whole bag their sum.*"]
    if basis.seeds:
        parts.append(_main_effects(found, measures, basis, design))
    parts += [_steps(found, family), _ends(found, family), _longer(everything, family)]
    parts.append(_mechanisms(found, basis, design) if basis.seeds else "")
    parts += [_gauge(found, design), _classes_picture(found, family)]
    return "\n\n".join(part.rstrip("\n") for part in parts if part)


def _headline(found, family, words, keys):
    """What a whole bag gains over a baseline, the rows of these keys, in a sentence; "" where no seed has both."""
    pair = paired_rows(found, AP, *keys)
    if not pair:
        return ""
    before, after = pair.means
    measured = [(f"points of {AP.title}, {before:.1f} to {after:.1f}", pair.gain),
                *((measure.title, paired_rows(found, measure, *keys).gain) for measure in MEASURES[family][1:])]
    told_of = "; ".join(f"{told(gain)} {name} ({judged(gain)})" for name, gain in measured)
    return f"{words}, {of_seeds(pair.mine)}{mark(fit_in(found, keys[1], pair.mine), FITTED)}: {told_of}."


def _main_effects(found, measures, basis, design):
    tests = len(design.factors)
    by_measure = {measure: effects.main_effects(found, measure, basis, design) for measure in measures}
    under = mark_of_basis(found, basis)
    rows = [[factor, *(told(main[factor], tests) for main in by_measure.values()), judged(by_measure[AP][factor], tests) + under]
            for factor in design.factors]
    return table(["main effect, points", *(measure.title for measure in measures), "on AP"], rows)


def mark_of_basis(found: Sequence[Mapping[str, Any]], basis: effects.Basis) -> str:
    """Says how many of the rows that main effects are told from are underfitted: every effect has them on one of its sides.
    Nothing where none is."""
    under = sum(fit_in(found, row.key, basis.seeds) < FITTED for row in basis.rows)
    return f" (underfitted: {under} of {len(basis.rows)} rows)" if under else ""


def _steps(found, family):
    """The paper's stacked rows against the row before, and the whole bag against the baseline; "" where there is no step."""
    measures = MEASURES[family]
    steps = [step_effects(found, measure, family) for measure in measures]
    if not steps[0]:
        return ""
    lines = [(key, _step_name(key), [of_measure[key] for of_measure in steps]) for key in steps[0]]
    whole = [whole_bag(found, measure, family) for measure in measures]
    if all(whole):
        lines.append((end_rows(family)[1], "**whole bag, over the baseline**", whole))
    rows = [[name, *map(told, gains), judged(gains[0]) + underfitted([fit_in(found, key, gains[0].by_seed)], FITTED),
             _seeds(gains[0])] for key, name, gains in lines]
    head = ["row of the paper, against the row before", *(measure.title for measure in measures), "on AP", "seeds"]
    return table(head, rows)


def _step_name(key):
    """A stacked row by what it adds to the one before it."""
    return "baseline, over no augmentation" if key == "baseline" else f"+ {key.rpartition('+')[2]}"


def _seeds(effect):
    return ", ".join(map(str, effect.by_seed))


def _ends(found, family):
    """Baseline and whole bag of the seeds that have both, with what the freebies are said to work by; "" where none has."""
    of_ends = _table_of_ends(found, end_rows(family), "Both ends of the stack", MEASURES[family], (OWN_IMAGES, *MECHANISMS))
    return of_ends and (
        of_ends + "\nThe paper slides its patch to see mixup alone, not the whole bag: "
        "[Figure 5](figures.md#figure-5-the-elephant-in-the-room).")


def _longer(found, family):
    """The same of both ends, trained for longer."""
    words = f"Both ends, trained half as long again ({miniature.LONGER['epochs']} epochs)"
    of_ends = _table_of_ends(found, factorial.LONGER_ROWS, words, MEASURES[family], (OWN_IMAGES,))
    return of_ends and of_ends + "\n" + made_by([bundle for bundle in found if bundle["row"] in factorial.LONGER_ROWS])


def _table_of_ends(found, keys, words, tested, shown):
    """Measures of two rows, a baseline and a whole bag, and their differences in the seeds that have both; "" where none has."""
    pairs = {measure: paired_rows(found, measure, *keys) for measure in (*tested, *shown)}
    if not pairs[AP]:
        return ""
    under = underfitted(pairs[OWN_IMAGES].mine.values(), FITTED)
    rows = [[measure.title, *_texts(pair), judged(pair.gain) + under if measure in tested else "not tested"]
            for measure, pair in pairs.items()]
    return f"{words}, {of_seeds(pairs[AP].mine)}, points:\n\n" + table(["", "baseline", "whole bag", "difference", ""], rows)


def _mechanisms(found, basis, design):
    """Main effects on what the freebies are said to work by."""
    by_measure = {measure: effects.main_effects(found, measure, basis, design) for measure in MECHANISMS}
    tests = len(design.factors)
    rows = [[measure.title, *(told(main[factor], tests) for factor in design.factors)] for measure, main in by_measure.items()]
    words = "By what they work (not tested; a fall of the calibration error is a gain; sizes are COCO's, in the set's pixels):"
    return f"{words}\n\n" + table(["main effect, points", *design.factors], rows)


def _status(found, design, basis):
    return (f"{len(found)} runs, {len(miniature.cells(design))} a seed; {_whole(basis)}. "
            "± beside a difference is half of Student's 95% interval, paired within a seed, and bold where it excludes 0 "
            f"(main effects: at 1 − 0.05/{len(design.factors)}); beside a row it is the standard deviation over seeds.")


def _whole(basis):
    """Of which rows and seeds main effects are told."""
    seeds = basis.seeds
    if not seeds:
        return "no seed is whole yet, so no main effect is told"
    rows = "the half with an even number of freebies" if basis.of_half else f"all {len(basis.rows)} combinations"
    until = ", until the rest is there in as many seeds" if basis.of_half else ""
    return f"main effects are from {rows}, {of_seeds(seeds)}{until}" + ("" if len(seeds) > 1 else "; intervals need two")


def _gauge(found, design):
    """Which rows fit their training images, in a sentence."""
    fits = fits_of(found, design)
    under = [key for key, fit in fits.items() if fit < FITTED]
    if not under:
        return f"Every row has at least {FITTED:g}% mAP@0.5 on its own training images, its seeds' mean, as the protocol asks."
    bag = miniature.stacked(design)[-1]
    words = f"**Underfitted, with less than {FITTED:g}% mAP@0.5 on its own training images: {len(under)} of {len(fits)} rows**"
    if bag not in under:
        return words + "."
    return words + (f"; the whole bag is one, with {below(fits[bag], FITTED):.1f}%, so by the protocol this says nothing about "
                    "the paper's regime.")


def miniature_rows(store: Store, family: str = "yolo3") -> str:
    """Every row with its runs, the gauge beside it; interactions."""
    design, measures = miniature.DESIGNS[family], MEASURES[family]
    found = miniature_bundles(store, family)
    if not found:
        return NONE_YET
    columns = {measure: by_row(found, measure, design) for measure in (*measures, OWN_IMAGES)}
    rows = []
    for key, values in columns[AP].items():
        fit = columns[OWN_IMAGES][key]
        gap = [own - test for own, test in zip(fit, columns[AP50][key])]
        rows.append([key, *(spread(columns[measure][key]) for measure in measures), spread_of_fit(fit, FITTED), spread(gap),
                     ", ".join(f"{value:.2f}" for value in values)])
    head = ["row", *(measure.title for measure in measures), OWN_IMAGES.title, "gap to the test", "AP of each seed"]
    words = "*Squares: means, hollow where the row is underfitted; dots: seeds.*"
    parts = [f"![Every row]({design.name}-rows.png)", "", words, "", table(head, rows)]
    seeds = effects.whole_seeds(found, miniature.combinations(design))
    if seeds:
        whole = [bundle for bundle in found if bundle["seed"] in seeds]
        pairs = effects.interactions(effects.numbers_of(whole, AP), design)
        parts += ["Interactions, shown and not tested: by how much more the first gains where the second is on, points of AP, "
                  f"{of_seeds(seeds)}.", "",
                  table(["", "AP"], [[" with ".join(pair), told(effect)] for pair, effect in pairs.items()])]
    backbone = harness.bundle_of(factorial.plan((0,), design=design)[0].backbone(), store)
    base = f"The backbone tells {100 * backbone['training']['accuracy']:.1f}% of the single objects that it is validated on.\n" \
        if backbone else ""
    return "\n".join([*parts, base, made_by(found)])


def miniature_tables(store: Store) -> str:
    """Tables 1, 4, 5 and 6 at the miniature's scale, with the paper's differences beside ours."""
    found, regions = all_of_miniature(store, "yolo3"), all_of_miniature(store, "faster_rcnn")
    if not found and not regions:
        return NO_RUN
    further = {row.key for rows in factorial.FURTHER_OF.values() for row in rows} - {*factorial.LONGER_ROWS}
    own = [bundle for bundle in found + regions if bundle["row"] in further]
    return "\n".join([*(_tables_of_yolo3(found) if found else ()), *(_table_6(regions) if regions else ()),
                      f"Of these tables' rows, those that are none of the factorials': {made_by(own)}" if own else ""])


def _table_6(found):
    return ["Table 6, mixup of the backbone and of Faster R-CNN (the paper: COCO, AP@[.5:.95]):", "",
            _small_table(found, TABLE_6, factorial.TABLE_6_ROWS, AP)]


def _tables_of_yolo3(found):
    at = [(f"at {size}", Measure(f"AP at {size}", (f"test-{size}",))) for size in miniature.SIZES]
    bag = miniature.stacked()[-1]
    fits = paired_rows(found, OWN_IMAGES, "baseline", bag)
    under = underfitted(fits.mine.values(), FITTED) if fits else ""
    return ["Table 1, ways to mix (the paper: YOLOv3 on VOC, mAP@0.5):", "",
            _small_table(found, TABLE_1, factorial.TABLE_1_ROWS, AP50),
            "Table 4, baseline and whole bag over sizes:", "",
            table(["", "baseline", f"whole bag{under}", "difference"],
                  [[name, *_texts(paired_rows(found, measure, "baseline", bag))] for name, measure in at]),
            "Table 5, mixup of the backbone and of the detector (the paper: YOLOv3 on COCO, AP@[.5:.95]):", "",
            _small_table(found, TABLE_5, factorial.TABLE_5_ROWS, AP)]


def _small_table(found, of_paper, keys, measure):
    """A table of the paper with our rows, each in all its seeds and with its fit; differences are to its first row, in the seeds
    that both have."""
    base = of_paper.rows[0].paper_value
    names = [row.name.replace("darknet53", "backbone").replace("YOLO3", "detector")
             .replace("R101", "backbone").replace("FRCNN", "detector") for row in of_paper.rows]
    points = [points_of_row(found, measure, key) for key in keys]
    rows = []
    for name, row, key, ours in zip(names, of_paper.rows, keys, points):
        fit = list(points_of_row(found, OWN_IMAGES, key).values())
        pair = effects.paired(points[0], ours)
        compared = [told(pair.gain) if pair else "", f"{row.paper_value - base:+.2f}"] if rows else ["", ""]
        rows.append([name, spread(list(ours.values())), *compared, spread_of_fit(fit, FITTED), ", ".join(map(str, sorted(ours)))])
    head = ["row", measure.title, "against the first, in the seeds of both", "the paper's", OWN_IMAGES.title, "seeds"]
    return table(head, rows)


def _texts(pair):
    """(numbers of a row, of another, their difference) as text, of the seeds that both have."""
    return (*(spread(list(row.values())) for row in pair), told(pair.gain)) if pair else ("", "", "")


def miniature_pictures(store: Store, family: str) -> list[Picture]:
    """The rows of a factorial, and its effects, the main ones of whole seeds alone."""
    from gluon_bof.paper import pictures as drawing

    design = miniature.DESIGNS[family]
    everything = all_of_miniature(store, family)
    found = of_factorial(everything, family)
    if not found:
        return []
    points, fits = (by_row(found, measure, design) for measure in (AP, OWN_IMAGES))
    rows = [(cell.on, points.get(cell.key, []), fits.get(cell.key, [])) for cell in miniature.cells(design)]
    titles = (f"{AP.title} on the test", OWN_IMAGES.title)
    made = [Picture(f"{design.name}-rows.png", drawing.matrix, (list(design.factors), rows, titles, FITTED))]
    basis = effects.told_from(found, design)
    if basis.seeds or step_effects(found, AP, family):
        panels = [_effects_panel(everything, AP, family, basis, False), _effects_panel(everything, AP50, family, basis, True)]
        made.append(Picture(f"{design.name}-effects.png", drawing.forest, (panels,)))
    changes = class_changes(found, family)
    if changes:
        made.append(Picture(f"{design.name}-classes.png", drawing.classes, (changes, AP.title, _classes_title(found, family))))
    return made


def _classes_title(found, family):
    pair = paired_rows(found, AP, *end_rows(family))
    before, after = pair.means
    return f"{DETECTORS[family]}, baseline → whole bag: {before:.2f} → {after:.2f} ({of_seeds(pair.mine)})"


def _classes_picture(found, family):
    """The words that show Figure 8 or 9; "" where no seed has both ends."""
    gains = [pair.gain for pair in pairs_of_classes(found, family).values()]
    if not gains:
        return ""
    resolved = ""
    if len(gains[0].by_seed) > 1:
        up, down = (sum(judged(gain) == word for gain in gains) for word in ("gain", "loss"))
        resolved = f", in {up} by more than its 95% interval ({down} lower by more)"
    higher = sum(gain.mean > 0 for gain in gains)
    return (f"![AP of every class, baseline and whole bag]({miniature.DESIGNS[family].name}-classes.png)\n\n"
            f"*As the paper's Figure {FIGURE_OF[family]}, means over {of_seeds(gains[0].by_seed)}. Grey: what both have; red: "
            f"gained; blue: lost. The whole bag's mean is higher in {higher} of {len(gains)} classes{resolved}.*")


def _effects_panel(everything, measure, family, basis, with_paper):
    from gluon_bof.paper.pictures import Bar, Panel

    papers = paper_steps(family)
    whole = sum(papers[factor] for factor in miniature.DESIGNS[family].factors)
    found = of_factorial(everything, family)

    def bar(name, effect, rows, paper=None):
        return Bar(name, effect.mean, effect.half_width, tuple(effect.by_seed.values()), paper if with_paper else None,
                   all(fit_in(everything, row, effect.by_seed) >= FITTED for row in rows))

    main = effects.main_effects(found, measure, basis, miniature.DESIGNS[family])
    steps = [bar(_step_name(key), effect, [key], papers[key.rpartition("+")[2]])
             for key, effect in step_effects(found, measure, family).items() if key != "baseline"]
    ends = [("whole bag", end_rows(family)), (f"the same, {miniature.LONGER['epochs']} epochs", factorial.LONGER_ROWS)]
    pairs = [(name, keys, paired_rows(everything, measure, *keys)) for name, keys in ends]
    groups = {"main effects": [bar(name, effect, [cell.key for cell in basis.rows]) for name, effect in main.items()],
              "over the row before": steps,
              "over the baseline": [bar(name, pair.gain, keys[1:], whole) for name, keys, pair in pairs if pair]}
    return Panel(measure.title, {name: bars for name, bars in groups.items() if bars})
