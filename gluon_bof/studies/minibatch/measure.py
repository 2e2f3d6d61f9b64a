"""One probe of a task as numbers: distances of the mini-batches, by block and by loss, what random partitions have, and what says
whether order can matter at all."""
from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

import numpy as np

from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.studies.minibatch.gradients import Gradients
from gluon_bof.studies.minibatch.partition import class_entropies, random_partition
from gluon_bof.studies.minibatch.probe import Parts, Probe

LOW, HIGH = 5, 95  # percent: ends of the band of random partitions
PARTITIONS = 1000  # numbers of random partitions that an epoch may have


def probe_task(task: Any, partition: np.ndarray, options: MinibatchOptions, cache: str | None = None, epoch: int = 0,
               should_stop: Callable[[], bool] = lambda: False, with_null: bool = True) -> dict[str, Any]:
    """The numbers of a built task's mini-batches, (K, B) indices of images, at its network's parameters, as JSON values.

    Raises probe.Stopped where should_stop said so, and UserError as `Probe.measure`."""
    def probe_of(loss=None):
        gradients = Gradients(task.graph, task.network, task.arguments, options.statistics == "frozen", task.block, loss)
        return Probe(gradients, options.probe, cache, should_stop=should_stop)

    whole = probe_of()
    size = partition.shape[1]
    found = described(whole.measure(task.batches_of(partition)), whole.gradients.blocks, size)
    found.update(epoch=epoch, metric=options.metric, method=options.probe, statistics=options.statistics, batch_size=size,
                 mean_is_full_gradient=options.statistics == "frozen" or not has_batch_norm(task.network),
                 class_entropy=class_entropies(partition, task.labels).tolist())
    if with_null and options.null_partitions:
        found["null"] = null_of(task, whole, partition, options, epoch)
    if options.by_loss:
        found["losses"] = {}
        for number, name in enumerate(task.loss_names):
            of_loss = probe_of(number)
            found["losses"][name] = described(of_loss.measure(task.batches_of(partition)), of_loss.gradients.blocks, size)
    return found


def has_batch_norm(network: Any) -> bool:
    """Whether a network has running statistics."""
    return any(name.endswith("running_mean") for name in network.collect_params())


def described(parts: Parts, blocks: Sequence[str], batch_size: int) -> dict[str, Any]:
    """Distances, norms and cosines to the full gradient of K mini-batches, whole and by block, and what they say together:

    diversity: sum of |g|^2 over |sum of g|^2 (Yin et al., 2018, of mini-batches), 1 / K where all are the same; noise_scale: tr
    Sigma / |g|^2 in images (McCandlish et al., 2018), the size of a mini-batch whose noise is as large as its signal: batch_size
    times the mini-batches' variance over the squared full gradient. It means that where mini-batches are random."""
    whole = Parts(*(part.sum(axis=-1, keepdims=True) for part in parts))
    found = {**_one(whole, 0), "blocks": {name: _one(parts, number) for number, name in enumerate(blocks)}}
    count, full = len(whole.norm), float(whole.full[0])
    found["diversity"] = _ratio(float(whole.norm.sum()), count ** 2 * full)
    found["noise_scale"] = _ratio(batch_size * float(whole.distance.sum()) / max(1, count - 1), full)
    return found


def _one(parts: Parts, block: int) -> dict[str, Any]:
    distance, norm = np.sqrt(parts.distance[:, block]), np.sqrt(parts.norm[:, block])
    full = float(np.sqrt(parts.full[block]))
    lengths = norm * full
    cosine = np.divide(parts.product[:, block], lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return {"full_norm": full, "distance": distance.tolist(), "norm": norm.tolist(), "cosine": cosine.tolist()}


def _ratio(above, below):
    return above / below if below > 0 else None


def null_of(task: Any, probe: Probe, partition: np.ndarray, options: MinibatchOptions, epoch: int = 0) -> dict[str, Any]:
    """What mini-batches of random partitions of the same images have: their distances, the median and the ends of the middle 90
    percent. With frozen statistics their full gradient is the one that is known; else each partition has its own."""
    partitions = [random_partition(partition, partition.shape[1], options.seed, epoch * PARTITIONS + number)
                  for number in range(options.null_partitions)]
    if options.statistics == "frozen":
        chosen = np.concatenate([one[:options.null_batches or None] for one in partitions])
        distances = np.sqrt(probe.against_mean(task.batches_of(chosen)).distance.sum(axis=-1))
    else:
        distances = np.concatenate([np.sqrt(probe.measure(task.batches_of(one)).distance.sum(axis=-1)) for one in partitions])
    low, median, high = np.percentile(distances, [LOW, 50, HIGH])
    return {"partitions": len(partitions), "batches": len(distances), "low": low, "median": median, "high": high,
            "distances": distances.tolist()}


def table_rows(found: Mapping[str, Any], scores: np.ndarray, partition: np.ndarray) -> list[dict[str, Any]]:
    """A row for each mini-batch: its number, its images' mean score (the first number of several), class entropy, distance, norm
    and cosine, whole and by block and by loss."""
    rows = []
    for number, batch in enumerate(partition):
        row = {"batch": number, "score": float(scores[batch].reshape(len(batch), -1)[:, 0].mean()),
               "class_entropy": found["class_entropy"][number], **_numbers(found, number)}
        for kind in ("blocks", "losses"):
            for name, part in found.get(kind, {}).items():
                row.update({f"{name}_{column}": value for column, value in _numbers(part, number).items()})
        rows.append(row)
    return rows


def _numbers(part, number):
    return {column: part[column][number] for column in ("distance", "norm", "cosine")}
