"""One model asked from several threads, as a web service's first requests ask it, and several models at once."""
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gluon_bof
from gluon_bof.backend import mx
from gluon_bof.data.shapes import draw_image
from gluon_bof.inference.export import INPUT, graph_of, onnx_bytes, quiet_session
from gluon_bof.inference.segmenter import Segmenter
from gluon_bof.models.build import build_network
from gluon_bof.options.segmentation import SegmentationOptions

THREADS = 4


@pytest.fixture(autouse=True)
def crosswise(monkeypatch, tmp_path):
    """Threads take turns within the shortest work, and nothing is exported yet."""
    monkeypatch.setenv("GLUON_BOF_CACHE", str(tmp_path))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def at_once(*tasks):
    """What each of the tasks, begun together in threads of their own, gives."""
    with ThreadPoolExecutor(len(tasks)) as threads:
        return [future.result() for future in [threads.submit(task) for task in tasks]]


def drawn():
    return [draw_image(1, number)[0] for number in range(THREADS)]


def same(one, other):
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("engine", ("mxnet", "onnx", "auto"))
def test_a_models_first_predictions_in_several_threads_are_those_of_one(engine):
    """Most ended in an AttributeError of Gluon's, and all later ones now and then."""
    if engine == "onnx":
        pytest.importorskip("onnxruntime")
    model = gluon_bof.load("shapes", short=96, engine=engine)
    found = at_once(*(lambda image=image: model.predict(image) for image in drawn()))
    assert all(len(of_one.scores) for of_one in found)
    for of_one, image in zip(found, drawn()):
        same(of_one, model.predict(image))


def test_an_export_beside_the_first_prediction_traces_the_same_graph():
    model, other = (gluon_bof.load("shapes", short=96) for _ in range(2))
    detector, image = model.detector, drawn()[0]
    *graphs, found = at_once(*[lambda: graph_of(detector)] * THREADS, lambda: model.predict(image))
    assert set(graphs) == {graph_of(other.detector)}
    same(found, other.predict(image))


def test_a_segmenters_first_maps_in_several_threads_are_those_of_one():
    options = SegmentationOptions(model="unet", dataset="shapes", crop_size=96, base_size=96, pretrained_base="no").resolved()
    network = build_network(options, ("background", "circle"), [mx.cpu()])
    segmenter = Segmenter(network, options, mx.cpu())
    found = at_once(*(lambda image=image: next(segmenter.segment([image])) for image in drawn()))
    for of_one, image in zip(found, drawn()):
        np.testing.assert_array_equal(of_one.scores, next(segmenter.segment([image])).scores)


def test_models_that_are_exported_at_once_do_not_take_each_others_translations():
    """One ended in a KeyError(16), or of a layer that is the other's."""
    pytest.importorskip("onnxruntime")
    models = [gluon_bof.load("shapes", short=96) for _ in range(2)]
    files = at_once(*(lambda model=model: onnx_bytes(model.detector, (96, 96)) for model in models))
    seen = np.stack([models[0].detector.see(image) for image in drawn()])
    (wanted, *_), (found, *_) = (quiet_session(file).run(["scores"], {INPUT: seen}) for file in files)
    assert (wanted > 0.5).any()
    np.testing.assert_array_equal(wanted, found)
