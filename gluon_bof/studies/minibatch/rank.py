"""A training set sorted by a metric and cut into mini-batches, as a table."""
from __future__ import annotations

from typing import Any

from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.studies.minibatch.partition import class_entropies, cut, ranking
from gluon_bof.studies.minibatch.scores import scores_of
from gluon_bof.studies.minibatch.tasks import open_task


def rank_set(options: MinibatchOptions) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(a row of each image, the smallest score first; numbers of the whole) of these options' set. Raises UserError."""
    task = open_task(options)
    scores = scores_of(task, options)
    order = ranking(scores)
    partition = cut(order, options.batch_size)
    columns = [f"score_{number}" for number in range(scores.shape[1])] if scores.shape[1] > 1 else ["score"]
    rows = [{"rank": place, "image": int(index), "batch": place // options.batch_size if place < partition.size else "",
             "classes": " ".join(task.classes[label] for label in task.labels[index]), **dict(zip(columns, scores[index]))}
            for place, index in enumerate(order)]
    return rows, {"images": len(task), "metric": options.metric, "batches": len(partition), "batch_size": options.batch_size,
                  "left_out": len(task) - partition.size, "lowest": scores[order[0]].tolist(),
                  "highest": scores[order[-1]].tolist(), "class_entropy": class_entropies(partition, task.labels).tolist()}
