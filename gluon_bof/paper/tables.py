"""A table of the paper as work: what has to be trained and evaluated, what of it is there, and the page that says so."""
from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

from gluon_bof.errors import UserError
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.flags import EMBEDDED, INTEGERS, build_parser, flag_name, flags_of
from gluon_bof.options.recipes import SMALL_IMAGES, TABLES, VOC_METRIC, Row, Table, backbone_recipe, row_recipe
from gluon_bof.paper import harness, jobs
from gluon_bof.paper.bundles import fingerprint
from gluon_bof.paper.harness import ONE_THREAD, Job

if TYPE_CHECKING:
    from gluon_bof.paper.bundles import Store

OWN = ("dataset", "dataset_root", "recipe", "name", "runs", "resume", "seed", "gpus", "dry_run")  # set by the table, not after --
NOT_SETTINGS = OWN + ("num_workers", "val_interval", "log_interval", "save_interval", "keep", "pretrained_base")


@dataclass(frozen=True)
class Request:
    """What the command line asks for. rows: keys; extra, extra_pretraining: flags for every training."""

    table: Table
    scale: str = "paper"
    rows: tuple = ()
    seeds: tuple = (0,)
    runs: str = "runs"
    dataset: str = ""  # small scale: a folder in place of the embedded set
    dataset_root: str = ""  # paper scale
    gpus: str | None = None
    jobs: int = 1
    extra: tuple = ()
    extra_pretraining: tuple = ()

    @property
    def is_small(self) -> bool:
        """Whether this is not the paper's own work."""
        return self.scale == "small"

    @property
    def stem(self) -> str:
        """How the names of its files and runs begin."""
        own_set = f"-{os.path.basename(os.path.abspath(self.dataset))}" if self.dataset else ""
        return f"table-{self.table.number}" + (f"-small{own_set}" if self.is_small else "")


def chosen_rows(table: Table, text: str) -> tuple[str, ...]:
    """Keys of the rows that "1,3" or "baseline,mixup" names; of all for "". Raises UserError."""
    return chosen(text, [row.key for row in table.rows], f"Table {table.number}")


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


def plan(request: Request) -> list[Job]:
    """The Job of every row of the table and every seed, seed by seed; also of rows that were not asked for."""
    found = []
    for seed in request.seeds:
        for row in request.table.rows:
            found.append(_job(request, row, seed, gpus_of_worker(request, len(found))))
    return found


def gpus_of_worker(request: Request, place: int) -> str | None:
    """Its share of --gpus: those are split evenly among --jobs. None where they were not given."""
    if not request.gpus or request.jobs == 1:
        return request.gpus
    names = request.gpus.split(",")
    if len(names) % request.jobs:
        raise UserError(f"--gpus {request.gpus} cannot be split evenly among --jobs {request.jobs}", remedy="change either")
    share, worker = len(names) // request.jobs, place % request.jobs
    return ",".join(names[worker * share:(worker + 1) * share])


def _job(request, row, seed, gpus):
    recipe = row_recipe(request.table, row, request.is_small)
    own = dict(seed=seed, runs=request.runs, name=f"{request.stem}-{row.key}-seed-{seed}")
    if gpus is not None:
        own["gpus"] = gpus
    data = dict(dataset=small_set(request)) if request.is_small else dict(dataset_root=request.dataset_root)
    pretraining, data_before = None, {}
    if recipe.pretraining:
        of_backbone = backbone_recipe(request.table, row, request.is_small)
        settings = dict(own, name=f"{request.stem}-{_phase(recipe.pretraining)}-seed-{seed}")
        settings.update(dict(dataset=request.dataset or EMBEDDED) if request.is_small else {})
        pretraining = jobs.training(of_backbone, refuse_own(ClassifierOptions, request.extra_pretraining), **settings)
        own["pretrained_base"] = pretraining.run.last_weights
        data_before = data_of(request, pretraining.options.dataset, whole=True)
    training = jobs.training(recipe, refuse_own(type(recipe.options), request.extra), **data, **own)
    metric = ("voc07" if request.table.metric == VOC_METRIC else "coco") if request.is_small else ""
    evaluations = tuple(harness.evaluation(training, f"evaluation{'' if size is None else f'-{size}'}", size, metric=metric)
                        for size in recipe.sizes or (None,))
    return Job(row, seed, training, pretraining, ONE_THREAD if request.is_small else {}, evaluations, request.stem,
               data_of(request, training.options.dataset), data_before,
               again=harness.words_again(str(request.table.number), row.key, seed, request.dataset, "--scale", request.scale,
                                         extra=request.extra, extra_pretraining=request.extra_pretraining))


def data_of(request: Request, dataset: str, whole: bool = False) -> dict[str, Any]:
    """What a training of the table reads, as bundles say it. whole: all of the embedded set, and not its first images."""
    if request.dataset:
        return fingerprint(request.dataset) if os.path.isdir(request.dataset) else {"set": os.path.basename(request.dataset)}
    if not request.is_small:
        return {"set": dataset}
    from gluon_bof.data.shapes import VERSION
    return {"set": EMBEDDED, "version": VERSION, **({} if whole else {"images": SMALL_IMAGES})}


def _phase(pretraining):
    return f"backbone-{'mixup' if pretraining.mixup else 'plain'}"


def small_set(request: Request) -> str:
    """The set that small rows train on: the folder given, or that of the embedded set's first images, drawn on first use."""
    if request.dataset:
        return request.dataset
    from gluon_bof.data.shapes import cache_folder, ensure_drawn
    return ensure_drawn(os.path.join(cache_folder(), "tables"), SMALL_IMAGES)


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


# ---- what is there -------------------------------------------------------------------------------------------------

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
        for evaluation in of_row[0].evaluations:
            done = [job for job in of_row if job.name in bundles]
            found = {job.seed: bundles[job.name]["evaluations"][evaluation.key] for job in done}
            details = {name: statistics.mean(100 * (result["coco"][name] or 0) for result in found.values())
                       for name in ("AP50", "AP75") if found and all("coco" in result for result in found.values())}
            lines.append(Result(row, evaluation.size, {seed: 100 * result["map"] for seed, result in found.items()}, details,
                                statistics.mean(_training_minutes(bundles[job.name]) for job in done) if done else None,
                                tuple(job.name for job in done)))
    return lines


def _training_minutes(bundle):
    """Minutes that the run's epochs took, without validation, however often it was cut off."""
    return bundle["times"]["training_seconds"] / 60


def gain(line: Result, over: Result) -> tuple[float, float | None] | None:
    """(mean, deviation or None) of the differences to another line, seed by seed; None without a common seed."""
    shared = [line.values[seed] - over.values[seed] for seed in line.values if seed in over.values]
    return _spread(shared)


def _spread(values):
    values = list(values)
    if not values:
        return None
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def is_papers_size(line: Result, lines: Sequence[Result]) -> bool:
    """Whether the line is at the size whose number the paper has: its row's last."""
    return line is [other for other in lines if other.row is line.row][-1]


# ---- the page ------------------------------------------------------------------------------------------------------

def records(request: Request, lines: Sequence[Result]) -> list[dict[str, str]]:
    """The lines as {column: text}, blank where there is nothing; what CSV and page are made of."""
    settings = settings_of_rows(request)
    found = []
    for line in lines:
        record = {"row": line.row.name, "key": line.row.key}
        if len({other.size for other in lines}) > 1:
            record["size"] = "" if line.size is None else str(line.size)
        ours = _spread(line.values.values())
        if not request.is_small:
            record["paper"] = str(line.row.paper_value) if is_papers_size(line, lines) else ""
        record["ours"] = _text(ours)
        if request.is_small:
            over = next(other for other in lines if other.row.key == line.row.baseline_key and other.size == line.size)
            record["gain"] = _text(gain(line, over), sign=True) if over is not line else ""
        else:
            record["difference"] = (_text((ours[0] - line.row.paper_value, None), sign=True)
                                    if ours and is_papers_size(line, lines) else "")
        if request.table.metric != VOC_METRIC:
            record.update({name: f"{line.details[name]:.2f}" if name in line.details else "" for name in ("AP50", "AP75")})
        record["seeds"] = ", ".join(f"{seed}: {value:.2f}" for seed, value in line.values.items())
        record["minutes"] = "" if line.minutes is None else f"{line.minutes:.1f}"
        record["runs"] = " ".join(line.runs)
        record["flags"] = " ".join(settings[line.row.key])
        found.append(record)
    return found


def _text(spread, sign=False):
    if spread is None:
        return ""
    mean, deviation = spread
    return f"{mean:{'+' if sign else ''}.2f}" + (f" ± {deviation:.2f}" if deviation is not None else "")


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
        if word.startswith("--"):
            joined.append(word)
        else:
            joined[-1] += f" {word}"
    return joined


def to_markdown(request: Request, found: Sequence[Mapping[str, str]], command: str, cost: str = "") -> str:
    """The page."""
    table = request.table
    where = f" on {os.path.basename(os.path.abspath(request.dataset))}" if request.dataset else ""
    title = f"# Table {table.number}: {table.title}"
    if request.is_small:
        title = f"# Table {table.number} at small scale{where}, not the paper's work"
    columns = [name for name in found[0] if name not in ("key", "flags", "runs")]
    head = {"ours": f"{table.metric}, %" if request.is_small else f"ours, {table.metric} %",
            "paper": f"paper, {table.metric} %", "gain": "gain", "seeds": "each seed", "minutes": "training, min", "size": "at"}
    lines = [title, ""]
    if request.is_small:
        of_what = "" if request.dataset else (f", on the first {SMALL_IMAGES['trainval']} images of the embedded set, "
                                              f"evaluated on its {SMALL_IMAGES['test']} for validation")
        lines += [f"The rows of “{table.title}” with a small network and small images{of_what}. The numbers are to be "
                  "compared with each other only, never with the paper's. A gain is counted seed by seed from the row "
                  f"{_over_names(table)}; ± is the standard deviation over the seeds.", ""]
        lines += [table.small_note, ""] if table.small_note else []
    else:
        lines += ["Last epoch's weights; rows that nobody ran are blank.", ""]
    lines += ["```", command, "```", ""]
    lines.append("| " + " | ".join(head.get(name, name) for name in columns) + " |")
    lines.append("|" + "---|" * len(columns))
    lines += ["| " + " | ".join(record[name] for name in columns) + " |" for record in found]
    lines += ["", "Runs: " + " ".join(filter(None, (record["runs"] for record in found)))] if any(
        record["runs"] for record in found) else []
    lines += ["", "Flags of every row: `" + " ".join(shared_settings(request)) + "`", ""] if shared_settings(request) else [""]
    lines += [f"- “{record['row']}”: `{record['flags']}`" for record in _one_a_row(found) if record["flags"]]
    if not request.is_small:
        lines += ["", "Where settings come from that the paper does not name:", ""]
        lines += [f"- {fields}: {source}" for fields, source in table.sources.items()]
    return "\n".join(lines) + "\n" + (f"\n{cost}" if cost else "")


def _over_names(table):
    names = dict.fromkeys(table.row(row.baseline_key).name for row in table.rows)
    return ", ".join(f"“{name}”" for name in names)


def _one_a_row(found):
    return list({record["key"]: record for record in found}.values())


def table_of(text: str) -> Table:
    """The Table of "1" to "6". Raises UserError."""
    if not text.isdigit() or int(text) not in TABLES:
        raise UserError(f"the paper has no table {text!r}", remedy=f"give one of {', '.join(map(str, TABLES))}")
    return TABLES[int(text)]
