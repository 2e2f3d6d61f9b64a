"""Training: the pipeline that every script shares, the engine that takes a run through its epochs, the loop, the optimizer.

Knows nothing of evaluation: whoever trains hands the engine a function that validates."""
from gluon_bof._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {
    "entry": ("run_script", "run_training", "train_of", "ready"),
    "pipeline": ("start_devices", "open_sets", "build_sampler", "restore", "take_memory", "fit", "seed"),
    "engine": ("Engine", "Stopped"),
    "recorder": ("Scoring",),
    "loop": ("Step", "EpochLosses", "train_epoch"),
    "optimizer": ("build_optimizer", "build_trainer", "epoch_schedule", "exempt_from_decay", "start_amp",
                  "update_schedule"),
    "segmentation": ("open_label_sets", "MapBatch", "blank_batch", "Reseeded", "fit_maps", "only_validated", "SCORING"),
    "initialise": ("initialise_weights", "transfer_from"),
    "freezing": ("freeze",),
    "checkpoint": ("load_checkpoint", "save_checkpoint"),
})
