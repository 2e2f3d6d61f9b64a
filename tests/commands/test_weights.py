"""weights import and weights show: what they write and tell, and hostile files."""
import hashlib
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from gluon_bof.backend import gluoncv, mx
from gluon_bof.commands import weights as weights_command
from gluon_bof.models.yolo3.network import build_yolo3
from gluon_bof.options.classifier import ClassifierOptions
from gluon_bof.options.minibatch import MinibatchOptions
from gluon_bof.options.segmentation import SegmentationOptions
from gluon_bof.options.yolo3 import Yolo3Options
from gluon_bof.runs.opening import create_run
from gluon_bof.training.checkpoint import save_checkpoint
from gluon_bof.weights import convert, torch_resnet
from gluon_bof.weights.formats.params import dumps
from gluon_bof.weights.inspect import read_contents
from gluon_bof.weights.load import load_backbone, load_weights, save_weights
from tests import command_lines
from tests.tiny_networks import settled
from tests.weights import torch_resnets
from tests.weights.darknet_files import BACKBONE_LAYERS, HEADERS, Layer, write_zeros, yolov3

run, refused = (partial(called, weights_command.main) for called in (command_lines.answer_of, command_lines.refused))
COMMAND = [sys.executable, "-m", "gluon_bof", "weights"]
ROOT = Path(__file__).resolve().parents[2]
MEMORY = 3 << 30  # bytes of address space that a process may take: MXNet's own are one and a half


# what they do

def test_import_writes_what_training_and_gluoncv_load(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file(torch_resnets.random_state(18), tmp_path / "model.safetensors")
    told, text = run(capsys, "import", "model.safetensors", "--to", "resnet18_v1b")
    assert (told["out"], told["network"], told["arrays"]) == ("resnet18_v1b.params", "resnet18_v1b", 102)
    assert told["sha256"] == hashlib.sha256((tmp_path / told["out"]).read_bytes()).hexdigest()
    assert "--network resnet18_v1b --pretrained-base resnet18_v1b.params" in text
    gluoncv.model_zoo.get_model("resnet18_v1b", pretrained=False).load_parameters(told["out"])


def test_only_what_is_kept_verbatim_takes_other_images_than_ours():
    ours = "RGB normalised by ImageNet's mean and deviation"
    for source, kept in (("Darknet 0.2.0, darknet53", "RGB in [0, 1]"), ("safetensors of 122 arrays", ours),
                         ("torchvision's ssd300_vgg16, 91 classes", "RGB less torchvision's mean, over ImageNet's deviation")):
        assert [weights_command._takes(source, verbatim) for verbatim in (False, True)] == [ours, kept]


@pytest.mark.slow
def test_import_of_a_detector_writes_its_classes(tmp_path, capsys):
    path = write_zeros(tmp_path / "yolov3.weights", yolov3(2)[1], HEADERS["0.2.5"])
    anchors = tmp_path / "anchors.json"
    anchors.write_text(json.dumps([[number, number] for number in range(1, 10)]))
    told, text = run(capsys, "import", path, "--to", "yolo3_darknet53_custom", "--classes", "dog,cat", "--anchors", anchors,
                     "--epsilon", "1e-6", "--out", tmp_path / "ours.params")
    assert told["classes"] == ["dog", "cat"] and told["takes"].startswith("RGB normalised")
    assert (tmp_path / "ours.classes.txt").read_text() == "dog\ncat\n"
    network = settled(build_yolo3("darknet53", ("dog", "cat")))
    load_weights(network, tmp_path / "ours.params")
    assert network.yolo_outputs[0].anchors.data().asnumpy().ravel().tolist() == [7, 7, 8, 8, 9, 9]
    load_backbone(network, tmp_path / "ours.params")


def test_no_weights_are_read_for_a_file_that_cannot_be_written(tmp_path, capsys):
    out = tmp_path / "no" / "a.params"
    assert "no file can be written there" in refused(capsys, "import", "none.weights", "--to", "darknet53", "--out", out)


@pytest.mark.parametrize("name", ("mine.params", "mine.classes.txt"))
def test_what_is_imported_takes_the_place_of_no_file_that_is_read(name, tmp_path, capsys):
    (tmp_path / name).write_text("1 2")
    line = refused(capsys, "import", "none.weights", "--to", "yolo3_darknet53_custom", "--out", tmp_path / "mine.params",
                   "--anchors", tmp_path / name, "--classes", "a,b")
    assert f"{name}: the command reads this file" in line and (tmp_path / name).read_text() == "1 2"


@pytest.fixture(scope="module")
def gluoncvs_resnet():
    return settled(gluoncv.model_zoo.get_model("resnet18_v1b", pretrained=False))


@pytest.mark.parametrize("name", ("model.safetensors", "model.params", "model-00000000.params"))
def test_show_tells_what_a_backbone_is(gluoncvs_resnet, tmp_path, capsys, name):
    path = tmp_path / name
    if name.endswith(".params"):
        gluoncvs_resnet.save_parameters(str(path))
    else:
        save_file(torch_resnets.random_state(18), path)
    told, text = run(capsys, "show", path)
    assert told["network"] == "resnet18_v1b" and told["number_of_classes"] is None and told["bytes"] == path.stat().st_size
    assert told["sha1"] == hashlib.sha1(path.read_bytes()).hexdigest()
    assert "64 x 3 x 7 x 7" in text and "fits resnet18_v1b (backbone)" in text
    assert ("BUT ITS NAME SAYS 00000000" in text) == ("00000000" in name)


def test_show_tells_darknet_s_layers_under_our_names(tmp_path, capsys):
    told, text = run(capsys, "show", write_zeros(tmp_path / "a.weights", yolov3(80)[1], HEADERS["0.2.0"]))
    assert (told["network"], told["number_of_classes"], told["parameters"]) == ("yolo3_darknet53", 80, 62_001_757)
    assert "stages.0.0.0.weight" in text and "32013312 images seen" in text
    told, text = run(capsys, "show", write_zeros(tmp_path / "a.weights", yolov3(80)[1][:BACKBONE_LAYERS], HEADERS["0.1.0"]))
    assert told["network"] == "darknet53" and "features.0.0.weight" in text and told["faults"] == []
    classifier = [*yolov3(80)[1][:BACKBONE_LAYERS], Layer(1000, 1024, 1, False)]  # darknet53.weights as it is published
    with open(write_zeros(tmp_path / "a.weights", classifier, HEADERS["0.2.0"]), "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(np.float32("nan").tobytes())
    told, text = run(capsys, "show", tmp_path / "a.weights")
    assert (told["network"], told["parameters"]) == ("darknet53", 41_645_640) and "1000 x 1024 x 1 x 1" in text
    assert told["faults"] == ["output.weight holds values that are not finite"]


@pytest.mark.parametrize("name, write", (("a.params", dumps), ("a.safetensors", save)))
def test_show_tells_values_that_no_network_has_learned(name, write, tmp_path, capsys):
    """They were shown as any others; what only float32 cannot hold is none."""
    bad = {"0.bias": np.array((0, np.nan), np.float32), "0.weight": np.full((2, 2), np.inf, np.float32)}
    (tmp_path / name).write_bytes(write({**bad, "1.weight": np.full((2, 2), 1e300)}))
    told, text = run(capsys, "show", tmp_path / name)
    assert told["faults"] == [f"{one} holds values that are not finite" for one in bad]
    assert "NO NETWORK HAS LEARNED THESE: 0.bias holds values that are not finite, and 1 more" in text


def test_show_has_one_array_of_a_safetensors_file_in_memory(tmp_path):
    """It had all, BF16 as float32: five times what the file was shown with before its values were looked at."""
    save_file({str(number): np.zeros(1 << 18, np.float32) for number in range(8)}, tmp_path / "a.safetensors")
    torch_resnet.fitting_resnet({})  # builds what is kept
    tracemalloc.start()
    assert len(read_contents(str(tmp_path / "a.safetensors")).rows) == 8
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20  # of 8


@pytest.fixture(scope="module")
def small_network():
    return settled(build_yolo3("mobilenet0.25", ("a", "b")))


def test_show_tells_what_a_run_and_a_checkpoint_are(small_network, tmp_path, capsys):
    run_of = create_run(Yolo3Options(network="mobilenet0.25", dataset="voc", runs=str(tmp_path)))
    run_of.write_classes(("a", "b"))
    save_weights(small_network, run_of.best_weights)
    told, text = run(capsys, "show", run_of.folder)
    assert told["file"] == run_of.best_weights and told["classes"] == ["a", "b"] and "classes: a, b" in text
    assert (told["network"], told["number_of_classes"]) == ("yolo3_mobilenet0.25", 2)
    assert told["trained_as"] == "yolo3_mobilenet0.25_voc"
    assert "last.params" in refused(capsys, "show", run_of.folder, "--last")
    path = tmp_path / "some.ckpt"
    save_checkpoint(str(path), small_network, mx.gluon.Trainer(small_network.collect_params(), "sgd"), {"epoch": 7})
    told, text = run(capsys, "show", path)
    assert (told["kind"], told["network"]) == ("checkpoint of this package", "yolo3_mobilenet0.25") and "epoch 7" in text
    path.write_bytes(path.read_bytes()[:-1])
    assert "this checkpoint is damaged" in refused(capsys, "show", path)


@pytest.mark.parametrize("options, given, network", ((ClassifierOptions, {"network": "darknet-mini"}, "darknet-mini"),
                                                     (MinibatchOptions, {"network": "dpn-mini"}, "dpn-mini"),
                                                     (SegmentationOptions, {"model": "unet", "backbone": "plain"},
                                                      "unet_plain_custom")))
def test_show_tells_what_a_run_is_that_finds_no_boxes(options, given, network, tmp_path, capsys):
    run_of = create_run(options(dataset=str(tmp_path), runs=str(tmp_path), **given))
    run_of.write_classes(("a", "b"))
    for path in (run_of.best_weights, run_of.last_weights):
        Path(path).write_bytes(dumps({"a.weight": np.zeros((2, 3), np.float32)}))
    for words, path in (((), run_of.best_weights), (("--last",), run_of.last_weights)):
        told, _ = run(capsys, "show", run_of.folder, *words)
        assert (told["file"], told["trained_as"], told["classes"]) == (path, network, ["a", "b"])


def test_show_knows_the_packages_own_weights_by_name(capsys):
    told, text = run(capsys, "show", "shapes")
    assert told["classes"] == ["circle", "cross", "ring", "triangle"] and told["file"].endswith("yolo3_shapes.params")
    assert "fits yolo3_darknet-mini, 4 classes" in text


def test_names_in_a_file_do_not_steer_the_terminal(tmp_path, capsys):
    (tmp_path / "a.params").write_bytes(dumps({"\x1b[2Jweight\n": np.zeros(3, np.float32)}))
    _, text = run(capsys, "show", tmp_path / "a.params")
    assert "\x1b" not in text and r"\x1b[2Jweight\n" in text


def test_help_names_every_network():
    text = subprocess.run([*COMMAND, "import", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(target in text for target in convert.TARGETS)


def test_wrong_words_are_refused(tmp_path, capsys):
    assert "--to" in refused(capsys, "import", "a.weights")
    assert "unknown network" in refused(capsys, "import", "a.weights", "--to", "vgg")
    assert "No such file" in refused(capsys, "show", tmp_path / "none.params")
    assert "epsilon" in refused(capsys, "import", "a.weights", "--to", "darknet53", "--epsilon", "0")
    for network, words, told in (("resnet18_v1b", ("--verbatim", "--epsilon", "1e-6"), "--epsilon, --verbatim: nothing of"),
                                 ("darknet53", ("--classes", "a,b"), "--classes: "),
                                 ("ssd_300_vgg16_atrous_coco", ("--epsilon", "1e-6"), "--epsilon: ")):
        assert told in refused(capsys, "import", "a.weights", "--to", network, *words)
    assert "config.json" in refused(capsys, "show", tmp_path)
    assert "--last" in refused(capsys, "show", "shapes", "--last")


# hostile files

class Payload:
    """What a pickle of it does when it is read: it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def disguises(folder, mark):
    """Files that run code where somebody unpickles them, under every ending."""
    code = pickle.dumps(Payload(mark))
    with zipfile.ZipFile(folder / "torch.pth", "w") as archive:  # as torch.save writes
        archive.writestr("archive/data.pkl", code)
    np.savez(folder / "numpy.npz", a=np.array([Payload(mark)], object))
    contents = [code, pickle.dumps(Payload(mark), 0), (folder / "torch.pth").read_bytes(), (folder / "numpy.npz").read_bytes()]
    return [(ending, data) for data in contents for ending in (".params", ".weights", ".safetensors", ".ckpt", ".npz")]


def sound_files():
    """(ending, bytes) of small sound files and of one that promises 2^60 bytes in every format."""
    arrays = {"features.0.weight": np.ones((4, 3, 2, 2), np.float32), "yolo_outputs.0.prediction.bias": np.ones(21, np.float32)}
    heads = {"class_predictor.bias": np.ones(3, np.float32), "box_features.0.weight": np.ones((2, 2), np.float32)}
    meta = {"epoch": 1}
    payload = dumps({f"weight/{name}": array for name, array in arrays.items()})
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode() + payload).hexdigest()
    line = json.dumps({"format": "gluon_bof checkpoint 1", "sha256": digest, "meta": meta}).encode()
    huge = json.dumps({"a": {"dtype": "F32", "shape": [1 << 58], "data_offsets": [0, 1 << 60]}}).encode()
    return [(".params", dumps(arrays)), (".params", dumps(heads)), (".safetensors", save(arrays, {"format": "pt"})),
            (".ckpt", line + b"\n" + payload), (".weights", HEADERS["0.2.0"] + bytes(400)), (".weights", HEADERS["0.1.0"]),
            (".params", struct.pack("<QQQIii2q", 0x112, 0, 1, 0xF993FAC9, 0, 2, 1 << 30, 1 << 28) + bytes(12)),
            (".params", struct.pack("<QQQ", 0x112, 0, 1 << 60) + bytes(40)),
            (".safetensors", struct.pack("<Q", 1 << 60) + b"{}"), (".safetensors", struct.pack("<Q", len(huge)) + huge)]


def mutated(rng, files):
    """(ending, bytes) of one of the files with bytes flipped, cut, a number blown up, or another's header or ending."""
    ending, data = rng.choice(files)
    data = bytearray(data)
    kind = rng.choice(("flip", "cut", "number", "header", "ending"))
    if kind == "flip":
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == "cut":
        data = data[:rng.randrange(len(data))]
    elif kind == "number":
        at = rng.randrange(max(1, len(data) - 8))
        data[at:at + 8] = rng.choice((struct.pack("<Q", 1 << 60), b"\xff" * 8, struct.pack("<q", -1 << 62), bytes(8)))
    elif kind == "header":
        length = rng.choice((8, 16, 20, 64))
        data[:length] = rng.choice(files)[1][:length]
    else:
        ending = rng.choice((".params", ".weights", ".safetensors", ".ckpt", ".conv.74", ""))
    return ending, bytes(data)


RUNS_CODE = {"pickle.find_class", "os.system", "os.exec", "subprocess.Popen", "os.mkdir"}
seen_events = []
sys.addaudithook(lambda event, _: seen_events.append(event) if event in RUNS_CODE else None)


def test_the_ear_for_code_hears_it(tmp_path):
    seen_events.clear()
    pickle.loads(pickle.dumps(Payload(str(tmp_path / "mark"))))
    assert "os.mkdir" in seen_events and (tmp_path / "mark").exists()


@pytest.mark.parametrize("count", (40, pytest.param(240, marks=pytest.mark.slow)))
def test_hostile_files_are_refused_or_shown_and_nothing_worse(count, tmp_path, capsys):
    rng, files, mark = random.Random(6), sound_files(), tmp_path / "mark"
    hostile = disguises(tmp_path, str(mark)) + files + [mutated(rng, files) for _ in range(count)]
    statuses = {0: 0, 2: 0}
    torch_resnet.fitting_resnet({})  # builds what is kept, which is no file's doing
    seen_events.clear()
    for number, (ending, data) in enumerate(hostile):
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(data)
        target = rng.choice(("resnet18_v1b", "darknet53", "yolo3_darknet53_custom"))
        for words in (("show", path), ("import", path, "--to", target, "--classes", "a,b", "--out", tmp_path / "out.params")):
            tracemalloc.start()
            try:
                weights_command.main([str(word) for word in words])
                status = 0
            except SystemExit as ended:
                status = ended.code
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            out, err = capsys.readouterr()
            assert status in statuses, (path, err)
            assert status == 0 or (not out and err.startswith("error: ") and err.count("\n") == 1), (path, err)
            assert peak < 64 << 20, (path, peak)
            statuses[status] += 1
    assert not seen_events and not mark.exists()
    assert statuses[0] > count / 12 and statuses[2] > count


@pytest.mark.slow  # the test above it does the same to many more files in one process
def test_hostile_files_end_a_real_process_cleanly(tmp_path):
    rng, files, mark = random.Random(7), sound_files(), tmp_path / "mark"
    hostile = disguises(tmp_path, str(mark))[::4] + files[:1] + files[6:] + [mutated(rng, files) for _ in range(4)]

    def answer(numbered):
        number, (ending, data) = numbered
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(data)
        return subprocess.run(["sh", "-c", f'ulimit -v {MEMORY >> 10}; exec "$@"', "sh", *COMMAND, "show", str(path)], cwd=ROOT,
                              capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(answer, enumerate(hostile)))
    assert len(answers) == 14 and {ended.returncode for ended in answers} == {0, 2}
    for ended in answers:
        assert "Traceback" not in ended.stderr
        if ended.returncode == 2:
            assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1 and not ended.stdout
    assert not mark.exists()
