"""The page of a table of the paper, and its CSV, made of bundles alone."""
from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Mapping, Sequence

from gluon_bof.options.flags import CUSTOM_MODEL, flags_of
from gluon_bof.options.recipes import SMALL_IMAGES, VOC_METRIC, Row, row_recipe
from gluon_bof.paper import harness
from gluon_bof.paper.bundles import COST
from gluon_bof.paper.choices import OWN, given_flags
from gluon_bof.paper.tables import ends
from gluon_bof.paper.words import spread, table

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store
    from gluon_bof.paper.harness import Job
    from gluon_bof.paper.tables import Request

NOT_SETTINGS = OWN + ("num_workers", "val_interval", "log_interval", "save_interval", "keep", "pretrained_base")


@dataclass(frozen=True)
class Result:
    """A line of the page: a row at a size, with what its runs' evaluations say, in percent."""

    row: Row
    size: int | None
    values: dict  # seed: number
    details: dict  # name: mean over the seeds, for COCO its AP50 and AP75
    minutes: float | None
    runs: tuple  # names of their bundles


def read_lines(request: Request, planned: Sequence[Job], store: Store) -> list[Result]:
    """The lines of the table, from bundles alone; those that nobody ran have no values. Raises UserError where a bundle is of
    another configuration."""
    lines = []
    bundles = {job.name: found for job in planned for found in [harness.bundle_of(job, store)] if found}
    for row in request.table.rows:
        of_row = [job for job in planned if job.row is row]
        done = [job for job in of_row if job.name in bundles]
        for evaluation in of_row[0].evaluations:
            found = {job.seed: bundles[job.name]["evaluations"][evaluation.key] for job in done}
            details = {name: statistics.mean(100 * (result["coco"][name] or 0) for result in found.values())
                       for name in ("AP50", "AP75") if found and all("coco" in result for result in found.values())}
            lines.append(Result(row, evaluation.size, _in_percent(found), details,
                                statistics.mean(_training_minutes(bundles[job.name]) for job in done) if done else None,
                                tuple(job.name for job in done)))
    return lines


def _in_percent(found):
    """{seed: mAP in percent} of {seed: evaluation}; a set whose objects are all difficult or crowds has none."""
    return {seed: 100 * result["map"] for seed, result in found.items() if result["map"] is not None}


def _training_minutes(bundle):
    """Minutes that the run's epochs took, without validation, however often it was cut off."""
    return bundle["times"]["training_seconds"] / 60


def is_papers_size(line: Result, lines: Sequence[Result]) -> bool:
    """Whether the line is at the size whose number the paper has: its row's last."""
    return line is [other for other in lines if other.row is line.row][-1]


def records(request: Request, lines: Sequence[Result]) -> list[dict[str, str]]:
    """The lines as {column: text}, blank where there is nothing; what CSV and page are made of."""
    settings = settings_of_rows(request)
    found = []
    for line in lines:
        record = {"row": line.row.name, "key": line.row.key}
        if len({other.size for other in lines}) > 1:
            record["size"] = "" if line.size is None else str(line.size)
        ours = list(line.values.values())
        if not request.is_small:
            record["paper"] = str(line.row.paper_value) if is_papers_size(line, lines) else ""
        record["ours"] = spread(ours, 2)
        if request.is_small:
            over = next(other for other in lines if other.row.key == line.row.baseline_key and other.size == line.size)
            shared = [line.values[seed] - over.values[seed] for seed in line.values if seed in over.values]
            record["gain"] = spread(shared, 2, "+") if over is not line else ""
        else:
            record["difference"] = (f"{statistics.mean(ours) - line.row.paper_value:+.2f}"
                                    if ours and is_papers_size(line, lines) else "")
        if request.table.metric != VOC_METRIC:
            record.update({name: f"{line.details[name]:.2f}" if name in line.details else "" for name in ("AP50", "AP75")})
        record["seeds"] = ", ".join(f"{seed}: {value:.2f}" for seed, value in line.values.items())
        record["minutes"] = "" if line.minutes is None else f"{line.minutes:.1f}"
        record["runs"] = " ".join(line.runs)
        record["flags"] = " ".join(settings[line.row.key])
        found.append(record)
    return found


def settings_of_rows(request: Request) -> dict[str, list[str]]:
    """{row's key: words of the flags that not all rows share}."""
    words = {row.key: _setting_words(request, row) for row in request.table.rows}
    shared = shared_settings(request)
    return {key: [word for word in found if word not in shared] for key, found in words.items()}


def shared_settings(request: Request) -> list[str]:
    """Flags, each with its value, that all rows have."""
    found = [_setting_words(request, row) for row in request.table.rows]
    return [word for word in found[0] if all(word in other for other in found)]


def _setting_words(request, row):
    options = row_recipe(request.table, row, request.is_small).options
    options = replace(options, **given_flags(type(options), request.extra))
    defaults = type(options)()
    bare = replace(options, **{name: getattr(defaults, name) for name in NOT_SETTINGS if hasattr(defaults, name)})
    joined = []
    for word in flags_of(bare, defaults):
        if word.startswith("--") or word == CUSTOM_MODEL:
            joined.append(word)
        else:
            joined[-1] += f" {word}"
    return joined


def to_markdown(request: Request, found: Sequence[Mapping[str, str]], command: str, cost: str = "") -> str:
    """The page."""
    of_paper = request.table
    where = f" on {os.path.basename(os.path.abspath(request.dataset))}" if request.dataset else ""
    title = f"# Table {of_paper.number}: {of_paper.title}"
    if request.is_small:
        title = f"# Table {of_paper.number} at small scale{where}, not the paper's work"
    columns = [name for name in found[0] if name not in ("key", "flags", "runs")]
    head = {"ours": f"{of_paper.metric}, %" if request.is_small else f"ours, {of_paper.metric} %",
            "paper": f"paper, {of_paper.metric} %", "seeds": "each seed", "minutes": "training, min", "size": "at"}
    lines = [title, ""]
    if request.is_small:
        of_what = "" if request.dataset else (f", on the first {SMALL_IMAGES['trainval']} images of the embedded set, "
                                              f"evaluated on its {SMALL_IMAGES['test']} for validation")
        lines += [f"The rows of “{of_paper.title}” with a small network and small images{of_what}. The numbers are to be "
                  "compared with each other only, never with the paper's. A gain is counted seed by seed from the row "
                  f"{_over_names(of_paper)}; ± is the standard deviation over the seeds.", ""]
        lines += [of_paper.small_note, ""] if of_paper.small_note else []
    else:
        lines += ["Last epoch's weights; rows that nobody ran are blank.", ""]
    lines += ["```", command, "```", ""]
    lines.append(table([head.get(name, name) for name in columns], [[record[name] for name in columns] for record in found]))
    runs, shared = " ".join(filter(None, (record["runs"] for record in found))), " ".join(shared_settings(request))
    lines += [f"Runs: {runs}", ""] if runs else []
    lines += [f"Flags of every row: `{shared}`", ""] if shared else []
    lines += [f"- “{record['row']}”: `{record['flags']}`" for record in _one_a_row(found) if record["flags"]]
    if not request.is_small:
        lines += ["", "Where settings come from that the paper does not name:", ""]
        lines += [f"- {fields}: {source}" for fields, source in of_paper.sources.items()]
    return "\n".join(lines) + "\n" + (f"\n{cost}" if cost else "")


def cost_section(planned: Sequence[Job], store: Store) -> str:
    """What an earlier or this --cost found, as a section of the page; "" where there is none."""
    bundle = store.read(ends(planned)[1].name)
    if not bundle or COST not in bundle:
        return ""
    found = bundle[COST]
    a, b = found["rows"]
    counts = [sum(count for op, count in operators.items() if op != "input") for operators in found["operators"]]
    same = "the same graph: the same operators with the same attributes in the same order" if found["same_graph"] \
        else "**different graphs**"
    speeds = found["images_per_second"]
    ratios = found["ratios"]
    lines = ["## Cost in inference", "",
             f"The exported inference graphs of “{a}” ({counts[0]} operators) and “{b}” ({counts[1]}) are {same}. On "
             f"{found['device']}, image by image and in turn, {len(ratios)} rounds: {speeds[0]:.1f} and {speeds[1]:.1f} images "
             f"a second (medians); the second over the first, round by round: {statistics.median(ratios):.3f} "
             f"({ratios[0]:.3f} to {ratios[-1]:.3f}).", ""]
    operators = sorted(set(found["operators"][0]) | set(found["operators"][1]))
    return "\n".join(lines) + "\n" + table(["operator", a, b], [[op, *(str(of_side.get(op, 0)) for of_side in found["operators"])]
                                                               for op in operators])


def _over_names(of_paper):
    names = dict.fromkeys(of_paper.row(row.baseline_key).name for row in of_paper.rows)
    return ", ".join(f"“{name}”" for name in names)


def _one_a_row(found):
    return list({record["key"]: record for record in found}.values())
