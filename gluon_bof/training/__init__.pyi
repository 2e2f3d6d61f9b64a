from gluon_bof.training.entry import run_script as run_script, run_training as run_training, train_of as train_of, ready as ready
from gluon_bof.training.pipeline import (
    start_devices as start_devices, open_sets as open_sets, build_sampler as build_sampler, restore as restore,
    take_memory as take_memory, fit as fit, seed as seed)
from gluon_bof.training.engine import Engine as Engine, Stopped as Stopped
from gluon_bof.training.recorder import Scoring as Scoring
from gluon_bof.training.loop import Step as Step, EpochLosses as EpochLosses, train_epoch as train_epoch
from gluon_bof.training.optimizer import (
    build_optimizer as build_optimizer, build_trainer as build_trainer, epoch_schedule as epoch_schedule,
    exempt_from_decay as exempt_from_decay, start_amp as start_amp, update_schedule as update_schedule)
from gluon_bof.training.segmentation import (
    open_label_sets as open_label_sets, MapBatch as MapBatch, blank_batch as blank_batch, Reseeded as Reseeded,
    fit_maps as fit_maps, only_validated as only_validated, SCORING as SCORING)
from gluon_bof.training.initialise import initialise_weights as initialise_weights, transfer_from as transfer_from
from gluon_bof.training.freezing import freeze as freeze
from gluon_bof.training.checkpoint import load_checkpoint as load_checkpoint, save_checkpoint as save_checkpoint
