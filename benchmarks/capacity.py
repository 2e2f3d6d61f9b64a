"""The capacity study beside WeightWatcher 0.7.7: seconds for the weights of a Darknet-53, from {name: array} to the table.

Both sides take turns in one process with the same environment (OMP_NUM_THREADS); WeightWatcher reads the same weights as its flat
files. Prints medians and their ratio, and how far the two tables are apart; the last line is one JSON object."""
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np

from benchmarks.common import finish, parser_of, ratio, say, timed_in_turn
from gluon_bof.errors import UserError, user_facing

COMPARED = {"alpha": "alpha", "xmin": "xmin", "D": "D", "lambda_max": "lambda_max", "log_norm": "log_norm",
            "log_spectral_norm": "log_spectral_norm", "alpha_weighted": "alpha_weighted", "log_alpha_norm": "log_alpha_norm",
            "stable_rank": "stable_rank", "matrix_rank": "matrix_rank", "entropy": "entropy", "tail": "num_pl_spikes",
            "sigma": "sigma", "eigenvalues": "num_evals"}


def darknet53(seed=0, shrink=1):
    """{name: array} of Darknet-53's shapes, a mixture of noise and a few strong directions, so that tails have something to
    fit. shrink: divide all channels by this."""
    from gluon_bof.studies.capacity.arrays import darknet_layers
    rng = np.random.default_rng(seed)
    arrays = {}
    for layer in darknet_layers():
        outputs, inputs, height, width = layer.shape
        outputs, inputs = max(3, outputs // shrink), max(3, inputs // shrink) if inputs > 3 else 3
        noise = rng.normal(0, (2 / (inputs * height * width)) ** 0.5, (outputs, inputs, height, width))
        strength = rng.pareto(2.5, (min(outputs, inputs), 1, 1)) * 0.05
        left, right = rng.normal(size=(outputs, len(strength))), rng.normal(size=(len(strength), inputs, height * width))
        learned = np.einsum("or,rik->oik", left / outputs ** 0.5, strength * right / inputs ** 0.5)
        arrays[layer.weight] = (noise + learned.reshape(noise.shape)).astype(np.float32)
    return arrays


def write_flat_files(arrays, folder):
    """Leave {name: array} as WeightWatcher's flat files: a .npy for each layer and ww_config.json."""
    layers = {}
    for number, (name, array) in enumerate(arrays.items()):
        file = f"layer{number}.weight.npy"
        np.save(os.path.join(folder, file), array)
        layers[number] = {"key": name, "name": name, "longname": name, "weightfile": file, "biasfile": None,
                          "type": "dense" if array.ndim == 2 else "conv2d", "dims": json.dumps(array.shape)}
    with open(os.path.join(folder, "ww_config.json"), "w") as file:
        json.dump({"framework": "ww_flatfiles", "weights_dir": str(folder), "layers": layers}, file)


def weightwatcher(folder, pool=True):
    """WeightWatcher's table, a data frame, of a folder of flat files."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import weightwatcher as ww
        return ww.WeightWatcher(model=str(folder)).analyze(pool=pool)


def furthest(report, details):
    """{column: largest relative difference} of our report and WeightWatcher's table, row by row."""
    rows = [row for row in report.details if row["method"] != "none"]
    assert len(rows) == len(details), f"{len(rows)} rows and {len(details)}"
    found = {}
    for ours, theirs in COMPARED.items():
        values = np.array([row[ours] for row in rows], np.float64)
        wanted = details[theirs].to_numpy(np.float64)
        # with fewer than 8 eigenvalues above its floor WeightWatcher takes the error of alpha before it has alpha: -1 / sqrt(n)
        values, wanted = (side[wanted >= 0] for side in (values, wanted)) if ours == "sigma" else (values, wanted)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[ours] = float(np.max(np.where(values == wanted, 0, np.abs(values / wanted - 1))))
    return found


@user_facing
def main(argv=None):
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times that each side runs [3]")
    parser.add_argument("--slices", action="store_true", help="a row for each slice of a kernel instead of pooling them")
    parser.add_argument("--shrink", type=int, default=1, help="divide the channels of Darknet-53 by this [1]")
    given = parser.parse_args(argv)
    try:
        import weightwatcher as _  # noqa: F401  its import is not timed
    except ImportError:
        raise UserError("WeightWatcher is not installed", remedy="pip install weightwatcher==0.7.7 powerlaw==2.0") from None
    arrays = darknet53(shrink=given.shrink)
    with tempfile.TemporaryDirectory() as folder:
        write_flat_files(arrays, folder)
        outcome = measure(arrays, folder, given.slices, given.rounds)
    finish({"layers": len(arrays), "slices": given.slices, "shrink": given.shrink, "threads": os.environ.get("OMP_NUM_THREADS"),
            **outcome})


def measure(arrays, folder, slices, rounds):
    """{"ratio", …} of both sides in turn, and how far their tables are apart."""
    from gluon_bof.studies.capacity import analyze
    tables = {}
    seconds, processor = timed_in_turn({
        "ours": lambda: tables.update(ours=analyze(arrays, "ww-slices" if slices else "ww")),
        "WeightWatcher": lambda: tables.update(WeightWatcher=weightwatcher(folder, not slices))}, rounds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    outcome = {"ratio": ratio(seconds["WeightWatcher"], seconds["ours"]),
               "processor_ratio": ratio(processor["WeightWatcher"], processor["ours"]), "seconds": medians,
               "apart": furthest(tables["ours"], tables["WeightWatcher"])}
    say(f"ours {medians['ours']:.2f} s, WeightWatcher {medians['WeightWatcher']:.2f} s, ratio {outcome['ratio']:.2f} (by "
        f"processor time {outcome['processor_ratio']:.2f}); furthest apart, relative: {max(outcome['apart'].values()):.1e}")
    return outcome


if __name__ == "__main__":
    main()
