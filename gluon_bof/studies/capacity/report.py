"""The study itself: a row for every layer (or slice), and a summary."""
from __future__ import annotations

import zlib
from typing import Any, Mapping, NamedTuple

import numpy as np

from gluon_bof.files import csv_text
from gluon_bof.studies.capacity.arrays import read_arrays
from gluon_bof.studies.capacity.conventions import DEFAULT, Convention, convention_of
from gluon_bof.studies.capacity.layers import BLOCKS, layers_of
from gluon_bof.studies.capacity.metrics import NAN, NUMBERS, doubts, measure
from gluon_bof.studies.capacity.spectrum import CONVOLUTION, kind_of, shuffled, spectra

LARGEST = 15_000  # eigenvalues; a layer with more is not decomposed, as in WeightWatcher
OF_NULL = ("alpha", "D", "log_spectral_norm", "alpha_weighted")
COLUMNS = ("name", "slice", "block", "depth", "kind", "N", "M", "Q", "eigenvalues", "tail", *NUMBERS, "log_l1_bound",
           "method", "warning")
AVERAGED = ("alpha", "log_spectral_norm", "alpha_weighted", "log_norm", "log_alpha_norm", "stable_rank", "log_stable_rank",
            "entropy", "log_l1_bound")


class Report(NamedTuple):
    """details: a dictionary a row, with the keys of COLUMNS (and null_… where asked for); summary: {key: number} of the
    whole network; blocks: {block: summary}; convention: which."""

    details: list
    summary: dict
    blocks: dict
    convention: Convention

    def column(self, name: str) -> np.ndarray:
        """One column of details; numbers as float64, what is missing as nan."""
        values = [row.get(name) for row in self.details]
        return np.array(values) if isinstance(values[0], str) else np.array(values, np.float64)

    def csv(self) -> str:
        """details as CSV text."""
        return csv_text({key: "" if value is None or value != value else value for key, value in row.items()}
                        for row in self.details)


def analyze(net_or_params_file: Any, convention: str | Convention = DEFAULT, null: bool = False, seed: int = 0,
            last: bool = False, largest: int = LARGEST) -> Report:
    """The Report of a network's weights: a Gluon block, {name: array}, or anything `read_arrays` opens.

    convention: a name in CONVENTIONS; null: also fit the same entries shuffled (drawn from `seed`), beside every row; last:
    of a run, its last weights; largest: eigenvalues above which a layer gets a row without numbers.
    Raises UserError for what cannot be read or holds no layer."""
    convention = convention_of(convention)
    details = []
    for layer in layers_of(read_arrays(net_or_params_file, last)):
        details += _rows(layer, convention, largest, seed_of(layer.name, seed) if null else None)
    blocks = {block: summarize([row for row in details if row["block"] == block], convention) for block in BLOCKS
              if any(row["block"] == block for row in details)}
    return Report(details, summarize(details, convention), blocks, convention)


def summarize(details: list, convention: Convention) -> dict:
    """Means over the rows that have a fit, alpha_hat as the convention wants it, and how many rows there are and are
    doubtful. Means of nothing are nan."""
    fitted = [row for row in details if np.isfinite(row["alpha"])]
    weighted = [row["alpha_weighted"] for row in fitted if np.isfinite(row["alpha_weighted"])]
    summary = {"layers": len({(row["name"], row["depth"]) for row in details}), "rows": len(details), "fitted": len(fitted),
               "doubtful": sum(bool(row["warning"]) for row in fitted),
               "alpha_hat": float(np.sum(weighted) if convention.total == "sum" else np.mean(weighted)) if weighted else NAN,
               **{name: _mean(fitted, name) for name in AVERAGED}}
    if any("null_alpha" in row for row in details):
        summary.update({f"null_{name}": _mean(fitted, f"null_{name}") for name in OF_NULL})
    return summary


def _mean(rows, name):
    values = [row[name] for row in rows if np.isfinite(row[name])]
    return float(np.mean(values)) if values else NAN


def seed_of(name: str, seed: int) -> int:
    """The seed of the order of a layer's entries: of its own, whatever stands before it."""
    return (seed << 32) + zlib.crc32(name.encode())


def side_of(row: Mapping[str, Any], convention: Convention) -> int:
    """The larger side of the matrices that a row's spectrum is of."""
    return row["M"] if convention.windows else row["N"]


def _rows(layer, convention, largest, null_seed):
    shape = layer.array.shape
    kind, count = kind_of(shape), int(np.prod(shape[2:]))
    longer, side = max(shape[:2]), min(shape[:2])
    about = {"name": layer.name, "slice": None, "block": layer.block, "depth": layer.depth, "kind": kind, "N": longer,
             "M": side, "Q": 1.0 if convention.windows else longer / side,
             "eigenvalues": side * (count if convention.pooled else 1)}
    refusal = _refusal(layer.array, about, convention, largest)
    if refusal:
        return [{**about, "tail": 0, **dict.fromkeys(NUMBERS, NAN), "log_l1_bound": NAN, "method": "none", "warning": refusal}]
    about["log_l1_bound"] = _log_l1_bound(layer.array)
    rows = _of_spectra(spectra(layer.array, convention), about, convention)
    if null_seed is not None:
        for row, other in zip(rows, _of_spectra(spectra(shuffled(layer.array, null_seed), convention), about, convention)):
            row.update({f"null_{name}": other[name] for name in OF_NULL})
    return rows


def _refusal(array, about, convention, largest):
    """Why a layer has no spectrum here, or nothing."""
    if not np.isfinite(array).all():
        return f"{np.count_nonzero(~np.isfinite(array))} values are not finite"
    if about["eigenvalues"] > largest:
        return f"{about['eigenvalues']} eigenvalues are more than {largest}"
    if about["M"] < convention.least_side:
        return f"M = {about['M']} is below {convention.least_side}"
    if about["eigenvalues"] < convention.fewest:
        return f"{about['eigenvalues']} eigenvalues are fewer than {convention.fewest}"
    if not array.any():
        return "all weights are 0"
    return ""


def _of_spectra(found, about, convention):
    """Rows of a layer's spectra: one each, or one for all where pooled."""
    measured = [(*measure(values, convention, side_of(about, convention)), values) for values in found]
    groups = [measured] if convention.pooled else [[one] for one in measured]
    rows = []
    for place, group in enumerate(groups):
        numbers = {name: float(np.mean([one[name] for one, _, _ in group])) for name in NUMBERS}
        _, fit, values = group[0]
        warning = sorted({doubt for _, fit, values in group for doubt in doubts(values, fit)})
        row = {**about, "slice": None if convention.pooled or about["kind"] != CONVOLUTION else place,
               "tail": fit.n_tail, **numbers, "method": fit.method, "warning": "; ".join(warning)}
        rows.append({name: row[name] for name in COLUMNS})
    return rows


def _log_l1_bound(array):
    """log10 of the largest l1 norm of an output's incoming weights; the sum over the layers of a chain bounds the logarithm
    of its l1 path norm."""
    largest = np.abs(array).reshape(len(array), -1).sum(axis=1, dtype=np.float64).max()
    return float(np.log10(largest))
