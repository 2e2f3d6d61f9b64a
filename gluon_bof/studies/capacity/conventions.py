"""What "the alpha of a layer" has meant: six conventions as data. docs/capacity.md has their formulas and sources."""
from __future__ import annotations

import dataclasses

from gluon_bof.errors import UserError


@dataclasses.dataclass(frozen=True)
class Convention:
    """How weights become spectra, spectra fits, and fits one number.

    about: one line for tables. pooled: the slices of a convolution's kernel make one spectrum, else a row each.
    conv_factor: what a convolution's eigenvalues are multiplied by: "half", "half of the slices", or "one".
    over_n: divide them by N, the larger side (Eq. 2). floor: eigenvalues up to it are not fitted, absolute as in
    WeightWatcher; 0: only what the arithmetic cannot tell from 0 is left out. method: a name in `fit.METHODS`. small_method,
    below: another one for fewer values than that. fewest: eigenvalues below which there is no fit. least_side: of a
    slice, M below which there is none. windows: square windows of each slice instead of the slice. total: alpha-hat
    is the "mean" or the "sum" of alpha log10 lambda_max."""

    name: str
    about: str
    pooled: bool
    conv_factor: str
    over_n: bool = False
    floor: float = 0.0
    method: str = "mle"
    small_method: str = "mle"
    below: int = 0
    fewest: int = 2
    least_side: int = 1
    windows: bool = False
    total: str = "mean"

    def factor(self, slices: int) -> float:
        """What the eigenvalues of a convolution are multiplied by; slices: of its kernel."""
        return {"half": 0.5, "half of the slices": slices / 2, "one": 1.0}[self.conv_factor]

    def method_for(self, count: int) -> str:
        """The estimator for so many values."""
        return self.small_method if count < self.below else self.method


_WW = dict(floor=1e-5, method="mle", small_method="small", below=20, fewest=8)
CONVENTIONS = {found.name: found for found in (
    Convention("ww", "WeightWatcher 0.7.7, a convolution's slices pooled", True, "half", **_WW),
    Convention("ww-slices", "WeightWatcher 0.7.7, pool=False", False, "half of the slices", **_WW),
    Convention("paper", "X = W^T W / N by slice, sum of Eq. 3", False, "one", over_n=True, total="sum"),
    Convention("htsr-2019", "the authors' code of 2019: W^T W by slice of M >= 50, the law cut at lambda_max", False, "one",
               method="mle-xmax", least_side=50),
    Convention("hill", "TempBalance's PL_Alpha_Hill: pooled, xmin at the median", True, "half", method="median"),
    Convention("farms", "FARMS: square windows, so that N/M is 1 everywhere; Hill at the median, mean over windows", True, "half",
               method="median", windows=True),
)}
DEFAULT = "ww"


def convention_of(name: str | Convention) -> Convention:
    """The convention of that name, or the given one itself. Raises UserError for a name that is none."""
    if isinstance(name, Convention):
        return name
    if name not in CONVENTIONS:
        raise UserError(f"unknown convention {name!r}", remedy=f"choose one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
