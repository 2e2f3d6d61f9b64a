"""The bag on every further family, as the paper stacks it and at the miniature's scale: SSD, Mask R-CNN, FCN-8s
(docs/miniature.md has the protocol)."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Sequence

from gluon_bof.options.families import family_of
from gluon_bof.options.recipes import EMBEDDED_MASK_RCNN, EMBEDDED_SEGMENTATION, EMBEDDED_SSD
from gluon_bof.paper import factorial, harness, miniature
from gluon_bof.paper.bundles import Store
from gluon_bof.paper.choices import chosen
from gluon_bof.paper.effects import Measure
from gluon_bof.paper.harness import Job
from gluon_bof.paper.miniature import FACTORS

EXPERIMENT = "bag"
SEEDS = miniature.SEEDS
MINUTES = 30.0  # of a run, where no bundle tells
TEST, TRAINED = ("test",), (miniature.TRAIN,)  # evaluations of a run: of splits

# What the rows of all families share with the miniature's: the set, the backbone, the clean tail of a tenth, last weights
SHARED = dict(dataset="vocmini", train_split=miniature.TRAIN, val_split="test", lr_mode="step", mixup="", label_smooth_eps=0.0,
              val_interval=1000, log_interval=0, keep=1, gpus="")
OF_EPOCHS = dict(syncbn=False, warmup_epochs=2)  # of the families that have these options


@dataclass(frozen=True)
class Bag:
    """A family's stack. baseline: the options of its first row; factors: {freebie: the options that switch it on}, in the
    paper's order; numbers: what rows are measured by, a row's own first; fit: what its training images are measured by; fitted:
    the points of it that a row must reach."""

    title: str
    baseline: Any
    factors: dict
    numbers: tuple
    fit: Measure
    fitted: float = miniature.FITTED

    @property
    def stem(self) -> str:
        """The family's name in those of files."""
        return family_of(self.baseline).name.replace("_", "-")

    def rows(self) -> tuple[Row, ...]:
        """The baseline, then one freebie more each, to the whole bag."""
        names = list(self.factors)
        return tuple(Row(self, tuple(names[:count])) for count in range(len(names) + 1))


@dataclass(frozen=True)
class Row:
    """A row of a family's stack. on: the freebies that are on."""

    bag: Bag
    on: tuple

    @property
    def key(self) -> str:
        """A name for files."""
        return f"{self.bag.stem}-{'+'.join(self.on) or 'baseline'}"

    def options(self) -> Any:
        """The training's options."""
        changes = {field: value for name in self.on for field, value in self.bag.factors[name].items()}
        return replace(self.bag.baseline, **changes)


def _over(epochs, peak_of_step):
    """A length with its step schedule, a tenth at 80% and at 90%, and no mixup in the last tenth."""
    return dict(epochs=epochs, lr=peak_of_step, lr_decay_epoch=(epochs * 8 // 10, epochs * 9 // 10), no_mixup_epochs=epochs // 10)


def _freebies(peak_of_cosine, **before):
    """{freebie: options}, those of `before` first."""
    return {**before, "cosine": dict(lr_mode="cosine", lr=peak_of_cosine), "label-smoothing": FACTORS["label-smoothing"],
            "mixup": FACTORS["mixup"]}


SSD = Bag(
    "SSD", replace(EMBEDDED_SSD, random_shapes=(), no_expand=True, **SHARED, **OF_EPOCHS, **_over(640, 0.0013)),
    _freebies(0.002, **{"random-shapes": dict(random_shapes=(96, 192))}),
    (Measure("AP@[.5:.95]", TEST), Measure("mAP@0.5", TEST, "coco.AP50")), Measure("mAP@0.5", TRAINED, "coco.AP50"))
MASK_RCNN = Bag(
    "Mask R-CNN", replace(EMBEDDED_MASK_RCNN, anchor_scales=(1, 2, 4, 6, 9), nms_thresh=0.5, **SHARED, **_over(320, 0.0007)),
    _freebies(0.001),
    (Measure("mask AP@[.5:.95]", TEST, "masks.AP"), Measure("mask AP@0.5", TEST, "masks.AP50"), Measure("box AP@[.5:.95]", TEST)),
    Measure("mask AP@0.5", TRAINED, "masks.AP50"))
FCN = Bag(
    "FCN-8s", replace(EMBEDDED_SEGMENTATION, model="fcn8s", upsampling="bilinear", ema=0.0, **SHARED, **OF_EPOCHS,
                      **_over(360, 0.002)), _freebies(0.003),
    (Measure("mean IoU", TEST, "miou"), Measure("pixel accuracy", TEST, "pixel_accuracy")), Measure("mean IoU", TRAINED, "miou"),
    80.0)
BAGS = (SSD, MASK_RCNN, FCN)
ROWS = tuple(row for bag in BAGS for row in bag.rows())


def plan(seeds: Sequence[int] = SEEDS, runs: str = "runs") -> list[Job]:
    """Every run of ROWS, seed by seed."""
    backbone = harness.training(replace(miniature.BACKBONE, runs=runs))
    return [_job(row, seed, runs, backbone) for seed in seeds for row in ROWS]


def _job(row, seed, runs, backbone):
    training = harness.training(replace(row.options(), seed=seed, runs=runs, name=f"{EXPERIMENT}-{row.key}-seed-{seed}",
                                        pretrained_base=backbone.run.last_weights))
    evaluations = tuple(harness.evaluation(training, f"evaluation-{split}", split=split, metric="coco")
                        for split in TEST + TRAINED)
    data = factorial.data_of()
    return Job(row, seed, training, evaluations=evaluations, experiment=EXPERIMENT, data=data, pretraining=backbone,
               pretraining_data=data, again=harness.words_again(EXPERIMENT, row.key, seed))


def chosen_rows(text: str) -> tuple[str, ...]:
    """Keys of the rows that "1" or "ssd-baseline" names, "ends" each family's baseline and whole bag; of all for "". Raises
    UserError."""
    ends = [row.key for bag in BAGS for row in (bag.rows()[0], bag.rows()[-1])]
    return chosen(text, [row.key for row in ROWS], f"the experiment {EXPERIMENT}", {"ends": ends})


def found(store: Store) -> list[dict[str, Any]]:
    """The bundles of the runs that are there. Raises UserError for one of another configuration."""
    return harness.checked(store, EXPERIMENT, plan)
