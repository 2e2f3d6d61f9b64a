"""What the package asks of YOLOv3 and SSD alike, see models.build: their images are squares, and what they find before the last
suppression is a box and the scores of all classes for each place."""
from __future__ import annotations

from typing import Any

from gluon_bof.backend import gluon
from gluon_bof.data.transforms import EvalTransform, square
from gluon_bof.models.build import CANDIDATES
from gluon_bof.models.preprocess import Normalise
from gluon_bof.options.one_stage import OneStageOptions

CANDIDATE_TEXTS = dict(zip(CANDIDATES, ("xmin, ymin, xmax, ymax in pixels of the input", "of each class, in 0..1")))


def eval_transform(options: OneStageOptions) -> EvalTransform:
    """Validation's images are squares of --data-shape."""
    return EvalTransform(square, options.data_shape)


def inference_batch(options: OneStageOptions) -> int:
    """Images a batch in inference: as many as in training."""
    return options.batch_size


class CandidateGraph(gluon.HybridBlock):
    """(images (B, H, W, 3) uint8) -> what is suppressed: boxes (B, N, 4) in input pixels, scores (B, N, K)."""

    def __init__(self, network, **keywords):
        super().__init__(**keywords)
        self.normalise = Normalise()
        self.network = network

    def hybrid_forward(self, F, images):
        return self.network.candidates(F, self.normalise(images))


def candidates(network: Any, data: Any) -> tuple:
    """(symbols of a CandidateGraph, their names) of an input symbol; see models.build.ExportForm."""
    return CandidateGraph(network)(data), list(CANDIDATES)
