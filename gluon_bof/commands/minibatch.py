"""gluon-bof minibatch rank|probe|heatmap|train|compare: which mini-batch's gradient is nearest to the full gradient?

After "What's the Best Mini-batch?" (Lasky, Kesiz Abnousi, Ma and Yang): images sorted by a metric and cut into mini-batches."""
from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, Callable, Sequence

from gluon_bof.errors import UserError, say, user_facing
from gluon_bof.files import csv_text, prepare_folder, write_text
from gluon_bof.options.flags import Parser, add_flag, add_subparsers
from gluon_bof.options.flags import build_parser as options_parser
from gluon_bof.options.minibatch import NETWORKS, OF_PROBES, ORDERS, PROBES, MinibatchOptions
from gluon_bof.options.recipes import RECIPES
from gluon_bof.paper.choices import chosen_seeds

OF_DATA = ("dataset", "dataset_root", "network", "data_shape", "batch_size", "num_images", "metric", "alexnet", "lpips", "seed")
OF_PROBE = ("statistics", "by_loss", "null_partitions", "null_batches", "cache", "pretrained_base", "init", "objectness_prior",
            "label_smooth_eps", "gpus", "num_workers")
NOT_COMPARED = ("order", *OF_PROBES, "recipe", "resume", "name", "runs", "network", "seed")
TRAIN = "train on sorted mini-batches and probe at every epoch's start"
COMPARED = ("shuffled", "drop-extremes", "upper-quartile", "rs2", "grab")
SEEDS = (0, 1, 2, 3, 4)


@user_facing
def main(argv: Sequence[str]) -> int:
    """The command: text goes to standard error, the last line on standard output is one JSON object."""
    argv = list(argv)
    if argv[:1] == ["train"]:
        from gluon_bof.training.entry import run_script
        run_script("minibatch", argv[1:], TRAIN, prog="gluon-bof minibatch train")
        return 0
    given = build_parser().parse_args(argv)
    if given.word is None:
        raise UserError("minibatch needs to be told what to do", remedy="choose one of rank, probe, heatmap, train, compare")
    work: dict[str, Callable] = {"rank": _rank, "probe": _probe, "heatmap": _heatmap, "compare": _compare}
    print(json.dumps(work[given.word](given), allow_nan=False))
    return 0


def build_parser() -> Parser:
    """The command's parser, with those of its words."""
    parser = Parser("gluon-bof minibatch", description=__doc__.split(": ", 1)[1])
    add_subparsers(parser, {
        "rank": (_rank_parser(), "sort a training set by a metric and cut it into mini-batches"),
        "probe": (_probe_parser(), "measure how far every mini-batch's gradient is from the full gradient"),
        "heatmap": (_heatmap_parser(), "draw a run's probes, phase by phase"),
        "train": (options_parser(MinibatchOptions, TRAIN, RECIPES.of_family("minibatch"), "gluon-bof minibatch train"), TRAIN),
        "compare": (_compare_parser(), "train in several orders at equal steps, and give the paired differences")})
    return parser


def _parser(word, text):
    return Parser(f"gluon-bof minibatch {word}", description=text)


def _add_fields(parser, names):
    for name in names:
        add_flag(parser, MinibatchOptions.__dataclass_fields__[name])


def _rank_parser():
    parser = _parser("rank", "Sort a training set by a metric and cut it into mini-batches.")
    _add_fields(parser, OF_DATA)
    parser.add_argument("--out", default="minibatch", metavar="FOLDER", help="where rank.csv goes [minibatch]")
    return parser


def _probe_parser():
    parser = _parser("probe", "Measure how far the gradient of every mini-batch is from the full gradient, at the parameters of "
                              "WEIGHTS; without them, at a network's initial ones. What is not given is a run's own; "
                              "without a run, the default.")
    parser.add_argument("weights", nargs="?", default="", metavar="WEIGHTS",
                        help="a run of minibatch train (its last weights, and its options), or a .params file of --network")
    _add_fields(parser, OF_DATA)
    add_flag(parser, MinibatchOptions.__dataclass_fields__["probe"], choices=PROBES[:-1])
    _add_fields(parser, OF_PROBE)
    parser.add_argument("--out", default="minibatch", metavar="FOLDER", help="where probe.csv and probe.json go [minibatch]")
    return parser


def _heatmap_parser():
    parser = _parser("heatmap", "Draw a run's distances, phase by phase: light is near. Beside them the random partitions' band "
                                "and the class entropy of each mini-batch.")
    parser.add_argument("run", metavar="RUN", help="a folder of minibatch train")
    parser.add_argument("--block", default="", help="of one part of the network, such as backbone, or one loss, such as class")
    parser.add_argument("--out", default="", metavar="FILE", help="a .png; default: heatmap.png in the run's images/")
    return parser


def _compare_parser():
    parser = _parser("compare", "Train in several orders at equal steps. What is there is not trained again, and what was cut "
                                "off goes on.")
    parser.add_argument("--networks", default="cifar_resnet20_v1,dpn-mini", help="comma-separated "
                        "[cifar_resnet20_v1,dpn-mini]; known: " + ", ".join(NETWORKS))
    parser.add_argument("--orders", default=",".join(COMPARED), help=f"comma-separated [{','.join(COMPARED)}]; known: "
                                                                     + ", ".join(ORDERS))
    parser.add_argument("--seeds", default="", help=f"comma-separated [{','.join(map(str, SEEDS))}]")
    parser.add_argument("--runs", default="runs", help="folder that holds the runs [runs]")
    parser.add_argument("--out", default="minibatch", metavar="FOLDER", help="where orders.csv goes [minibatch]")
    for name, field in MinibatchOptions.__dataclass_fields__.items():
        if name not in NOT_COMPARED:
            add_flag(parser, field)
    return parser


def options_of(given: Any, **own: Any) -> MinibatchOptions:
    """The checked options of parsed flags, and these on top. Raises UserError."""
    from gluon_bof.training.entry import ready
    names = MinibatchOptions.__dataclass_fields__
    return ready(dataclasses.replace(MinibatchOptions(), **{**{name: value for name, value in vars(given).items()
                                                               if name in names}, **own}), vars(given))


def _rank(given):
    """Scores and mini-batches of a set."""
    from gluon_bof.studies.minibatch.rank import rank_set
    options = options_of(given)
    prepare_folder(given.out)
    rows, found = rank_set(options)
    path = write_text(given.out, "rank.csv", csv_text(rows))
    say("{images} images by {metric}: {batches} mini-batches of {batch_size}, {left_out} images left out; ".format(**found)
        + f"class entropy {min(found['class_entropy']):.2f} to {max(found['class_entropy']):.2f} bits")
    return {**found, "files": [path]}


def _probe(given):
    """One probe, of weights or of a network as it begins."""
    from gluon_bof.studies.minibatch.measure import table_rows
    from gluon_bof.studies.minibatch.single import of_its_run, probe_weights
    options = options_of(given, **of_its_run(given.weights, vars(given)))
    prepare_folder(given.out)
    found, scores, partition = probe_weights(options, given.weights, not hasattr(given, "gpus"))
    files = [write_text(given.out, "probe.csv", csv_text(table_rows(found, scores, partition))),
             write_text(given.out, "probe.json", json.dumps(found))]
    say(probe_text(found))
    null = found.get("null")
    return {"weights": given.weights, "network": options.network, "batches": len(partition), "statistics": options.statistics,
            "method": options.probe, **{name: found[name] for name in ("full_norm", "diversity", "noise_scale",
                                                                       "mean_is_full_gradient")},
            "distance": found["distance"], "null": null and {name: null[name] for name in ("median", "low", "high", "partitions",
                                                                                          "batches")}, "files": files}


def _heatmap(given):
    """A run's figure."""
    from gluon_bof.studies.minibatch.heatmap import draw_run, summary
    files = [draw_run(given.run, given.block, given.out)]
    epochs = summary(given.run)
    say("epoch  full gradient  diversity  noise scale  random ones'  beyond 95%  with entropy")
    for row in epochs:
        say("{:5} {:>14} {:>10} {:>12} {:>13} {:>11} {:>13}".format(row["epoch"], *(_number(row[name]) for name in (
            "full_norm", "diversity", "noise_scale", "random_noise_scale", "beyond", "with_entropy"))))
    return {"run": given.run, "epochs": epochs, "files": files}


def _compare(given):
    """Trainings in several orders."""
    from gluon_bof.studies.minibatch.compare import differences, jobs, run_all
    networks, orders = (_listed(getattr(given, name), name, known) for name, known in (("networks", NETWORKS),
                                                                                      ("orders", tuple(ORDERS))))
    seeds = chosen_seeds(given.seeds, SEEDS)
    base = options_of(given, network=networks[0], probe="none")
    trained = []

    def after_each(one):
        trained.append(one)
        write_text(given.out, "orders.csv", csv_text([_plain_row(row) for row in trained]))
        score = "-" if one.score is None else format(one.score, ".4f")
        say(f"{one.network}, {one.order}, seed {one.seed}: {score} after {one.steps} updates")

    planned = jobs(base, networks, orders, seeds, given.runs)
    prepare_folder(given.out)
    run_all(planned, after_each)
    found = differences(trained)
    say("\n".join(f"{row.network:20} {row.order:16} less shuffled: {100 * row.mean:+.2f} points"
                  + (f" ({100 * row.low:+.2f} to {100 * row.high:+.2f})" if row.low is not None else "") + f", {row.seeds} seeds"
                  for row in found) or "nothing to compare: that takes --orders shuffled and another")
    return {"trained": [one._asdict() for one in trained], "differences": [row._asdict() for row in found],
            "files": [os.path.join(given.out, "orders.csv")]}


def _plain_row(one):
    return {**{name: value for name, value in one._asdict().items() if name != "scores"},
            "scores": " ".join(f"{epoch}:{score:.6f}" for epoch, score in one.scores.items())}


def _listed(text, name, known):
    words = [word for word in text.split(",") if word]
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise UserError(f"--{name} {text}: {unknown[0] if unknown else 'nothing'} is none of them",
                        remedy=f"choose of {', '.join(known)}")
    return words


def probe_text(found: dict[str, Any]) -> str:
    """A probe as text."""
    null = found.get("null")
    band = (f"; random ones {null['low']:.4g} to {null['high']:.4g}, median {null['median']:.4g} ({null['batches']} of "
            f"{null['partitions']} partitions)") if null else ""
    lines = [f"{found['method']}, {found['statistics']} statistics: {len(found['distance'])} mini-batches of "
             f"{found['batch_size']} by {found['metric']}; distance {min(found['distance']):.4g} to "
             f"{max(found['distance']):.4g}{band}; full gradient {found['full_norm']:.4g}"]
    if not found["mean_is_full_gradient"]:
        lines.append("the mean of these gradients is not the full gradient: each mini-batch was normalised by its own statistics")
    lines.append("batch  entropy   distance       norm   cosine")
    columns = zip(found["class_entropy"], found["distance"], found["norm"], found["cosine"])
    lines += [f"{number:5} {entropy:8.2f} {distance:10.4g} {norm:10.4g} {cosine:8.3f}"
              for number, (entropy, distance, norm, cosine) in enumerate(columns)]
    return "\n".join(lines)


def _number(value):
    return "–" if value is None else f"{value:.4g}"
