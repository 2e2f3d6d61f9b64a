"""A run's distances as heat maps, phase by phase (the paper's Figures 1 to 4): light is near. matplotlib is imported late.

Beside each map: the distance of each mini-batch in units of the random partitions' median, with their band, and the entropy of
its classes."""
from __future__ import annotations

import os
from typing import Any, Mapping, Sequence

import numpy as np

from gluon_bof.errors import UserError
from gluon_bof.files import prepare_folder, read_json, refuse_unwritable, write_figure
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.runs.config import read_options, require_run
from gluon_bof.runs.folder import RunFolder

MAP, LINE, BAND, ENTROPY = "Blues", "#1f5fa8", "#c2410c", "Greens"
NAME = "heatmap.png"
FAR = 1e150  # the square of no number that is measured is infinite
WRITTEN = {"epoch", "metric", "statistics", "batch_size", "distance", "full_norm", "diversity", "noise_scale", "class_entropy",
           "blocks"}  # what every probe has


def draw_run(folder: str, block: str = "", path: str = "") -> str:
    """Draw a run's probes. block: of one part of the network or one loss alone, without a band; path: a .png, default: in the
    run's images/. Returns the path. Raises UserError where there is no run, no probe, or no such part, and where the path cannot
    be written."""
    require_run(folder, "give a run of minibatch train")
    if path and not path.endswith(".png"):
        raise UserError(f"{path} is no name of a .png", remedy="end it in .png")
    options, run = read_options(folder), RunFolder(folder)
    if not isinstance(options, MinibatchOptions) or not run.probe_epochs():
        raise UserError("no probe is kept in this run", folder, "train with gluon-bof minibatch train, not with --probe none")
    path = path or os.path.join(run.images, NAME if not block else f"heatmap-{block}.png")
    prepare_folder(os.path.dirname(os.path.abspath(path)))
    refuse_unwritable(path)
    probes = read_probes(run)
    return draw(probes, options.phase_ends(), path, f"{options.network}, {options.metric}, {options.order}, "
                f"{options.statistics} statistics{f', {block}' if block else ''}", block)


def read_probes(run: RunFolder) -> list[dict[str, Any]]:
    """The probes of a run, in the order of their epochs. Raises UserError for a damaged one."""
    return [read_json(run.probe(epoch), "this probe is not whole", "remove it; the other epochs can be drawn without it",
                      _is_whole, parse_constant=_no_number) for epoch in run.probe_epochs()]


def _is_whole(probe):
    """Whether a probe has all that it should, and a distance and an entropy of each mini-batch."""
    if not isinstance(probe, dict) or not WRITTEN <= probe.keys() or type(probe["epoch"]) is not int:
        return False
    null = probe.get("null") or {"high": 0, "distances": [0]}
    if not isinstance(null, dict) or not _are_numbers([probe["batch_size"], probe["full_norm"] or 0, null.get("high")]):
        return False
    return all(map(_are_numbers, (probe["distance"], probe["class_entropy"], null.get("distances")))) \
        and len(probe["distance"]) == len(probe["class_entropy"])


def _are_numbers(values):
    """Whether values are a list of numbers, one at least, whose squares are numbers, too."""
    return isinstance(values, list) and bool(values) and all(type(value) in (int, float) and abs(value) < FAR for value in values)


def _no_number(word):
    raise ValueError(f"{word} is no number")


def summary(folder: str) -> list[dict[str, Any]]:
    """What each probe of a run says as a whole: {"epoch", "full_norm", "diversity", "noise_scale", "random_noise_scale": by the
    random partitions, "nearest", "farthest", "beyond": share of the mini-batches farther than 95% of the random ones,
    "with_entropy": Spearman's correlation of distance and class entropy}; None where there is no number."""
    found = []
    for probe in read_probes(RunFolder(folder)):
        distance = np.array(probe["distance"])
        found.append({**{name: probe[name] for name in ("epoch", "full_norm", "diversity", "noise_scale")},
                      "random_noise_scale": _random_noise_scale(probe),
                      "nearest": int(distance.argmin()), "farthest": int(distance.argmax()),
                      "beyond": float((distance > probe["null"]["high"]).mean()) if probe.get("null") else None,
                      "with_entropy": _rank_correlation(distance, np.array(probe["class_entropy"]))})
    return found


def _random_noise_scale(probe):
    """tr Sigma / |g|^2 in images, of random mini-batches drawn without replacement from K times as many images as one has."""
    count, full = len(probe["distance"]), probe["full_norm"]
    if not probe.get("null") or not full or probe["statistics"] != "frozen":
        return None
    return float(probe["batch_size"] * np.square(probe["null"]["distances"]).mean() * count / (count - 1) / full ** 2)


def _rank_correlation(one, other):
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    from scipy.stats import spearmanr
    return float(spearmanr(one, other)[0])


def draw(probes: Sequence[Mapping[str, Any]], phase_ends: Sequence[int], path: str, title: str = "", block: str = "") -> str:
    """Draw probes, a row of panels for each phase that has one. phase_ends: see MinibatchOptions. Returns the path."""
    from matplotlib.figure import Figure
    phases = [[probe for probe in probes if begin <= probe["epoch"] < end] for begin, end in zip([0, *phase_ends], phase_ends)]
    phases = [phase for phase in phases if phase]
    figure = Figure(figsize=(10, 0.6 + 3.1 * len(phases)), layout="constrained")
    panels = figure.subplots(len(phases), 3, squeeze=False, sharey=True, gridspec_kw={"width_ratios": [6, 2.4, 0.35]})
    for phase, row in zip(phases, panels):
        _draw_phase(figure, row, phase, block)
    handles, labels = next((found for found in (row[1].get_legend_handles_labels() for row in panels) if found[0]), ((), ()))
    if handles:  # below them all, for beside the lines there is no room that every phase has
        figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=len(handles))
    figure.suptitle(title, fontsize=11)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    write_figure(path, figure, dpi=130)
    return path


def _draw_phase(figure, row, phase, block):
    distances = np.array([part_of(probe, block)["distance"] for probe in phase]).T  # (mini-batches, epochs)
    epochs = [probe["epoch"] for probe in phase]
    count = len(distances)
    image = row[0].imshow(distances, MAP, aspect="auto", interpolation="nearest", origin="lower",
                          extent=(-0.5, len(epochs) - 0.5, -0.5, count - 0.5))
    shown = np.linspace(0, len(epochs) - 1, min(len(epochs), 10)).round().astype(int)
    row[0].set_xticks(shown)
    row[0].set_xticklabels([epochs[place] for place in shown])
    row[0].yaxis.get_major_locator().set_params(integer=True)
    row[0].set(xlabel="epoch", ylabel=f"mini-batch by {phase[0]['metric']}",
               title=f"epochs {epochs[0]} to {epochs[-1]}, {_rate_text(phase)}")
    bar = figure.colorbar(image, ax=row[0], pad=0.01)
    bar.ax.set_title("distance to the\nfull gradient", fontsize=8)  # above it: at its side it reads as the next panel's axis
    _draw_profile(row[1], distances, phase, bool(block))
    entropy = np.array(phase[0]["class_entropy"])[:, None]
    column = row[2].imshow(entropy, ENTROPY, aspect="auto", interpolation="nearest", origin="lower", vmin=0,
                           extent=(0, 1, -0.5, count - 0.5))
    row[2].set_xticks([])
    row[2].set_title("classes", fontsize=9)
    figure.colorbar(column, ax=row[2], label="entropy, bits", pad=0.2, aspect=30)


def _rate_text(phase):
    """The learning rates of a phase's probes, which differ by a warm-up or a cosine: their range, the way they go."""
    rates = [probe.get("learning_rate", float("nan")) for probe in phase]
    low, high = (f"{rate:.3g}" for rate in (min(rates), max(rates)))
    if low == high:
        return f"rate {low}"
    return f"rate {low} to {high}" if rates[0] < rates[-1] else f"rate {high} to {low}"


def _draw_profile(axis, distances, phase, of_block):
    """The mean over the epochs of each mini-batch's distance, in units of the random ones' median, or of their own mean."""
    place = np.arange(len(distances))
    nulls = [] if of_block else [(number, probe["null"]) for number, probe in enumerate(phase) if probe.get("null")]
    if nulls:
        medians = np.array([null["median"] for _, null in nulls])
        profile = (distances[:, [number for number, _ in nulls]] / medians).mean(axis=1)
        low, high = (np.mean([null[end] for _, null in nulls] / medians) for end in ("low", "high"))
        axis.axvspan(low, high, color=BAND, alpha=0.18, lw=0, label=f"5–95% of {nulls[0][1]['partitions']} random partitions")
        axis.axvline(1, color=BAND, lw=1, label="their median")
        axis.set_xlabel("distance over the random median")
    else:
        profile = (distances / distances.mean(axis=0)).mean(axis=1)
        axis.set_xlabel("distance over the epoch's mean")
    axis.plot(profile, place, color=LINE, lw=1.2, marker=".", ms=3)
    axis.spines[["top", "right"]].set_visible(False)


def part_of(probe: Mapping[str, Any], block: str) -> Mapping[str, Any]:
    """A probe's numbers as a whole, or of a part of the network or a loss by its name. Raises UserError for another name."""
    if not block:
        return probe
    parts = {**probe["blocks"], **probe.get("losses", {})}
    if block not in parts:
        raise UserError(f"no part of the network is called {block!r}", remedy=f"choose one of {', '.join(parts)}")
    return parts[block]
