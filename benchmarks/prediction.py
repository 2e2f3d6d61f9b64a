"""Prediction: images a second of `gluon_bof predict` beside what it was, one image after the other by MXNet, on a folder and on a
video; and of `load(…, engine="onnx").predict(paths)` beside onnxruntime by itself, OpenVINO and OpenCV's DNN module, each where
it is installed and reads our export, from files to boxes.

Same images, weights and threads of the network for all sides, which take turns. A peer reads with OpenCV, resizes as we do, and
suppresses in the graph or, where it cannot, by OpenCV. Prints the floors too: decoding alone, and the share of the machine's
matrix peak that the network reaches. The last line is one JSON object."""
import contextlib
import glob
import io
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import cv2
import numpy as np

from benchmarks.common import add_arguments, finish, machine, matrix_peak, parser_of, ratio, say, timed_in_turn, voc_folder
from benchmarks.inference import SAME_BOX, operations, settled_weights
from gluon_bof.errors import user_facing

SCORE = 0.3  # what is drawn
COMPARED = 0.05  # least score of detections that are compared
VIDEO = (640, 480)


def arguments_of(argv):
    parser = parser_of(__doc__)
    add_arguments(parser, 5, 64)
    parser.add_argument("--network", default="shapes", help="shapes, the shipped weights; or darknet53, mobilenet1.0 or "
                                                            "mobilenet0.25 with untrained weights of settled normalisation")
    parser.add_argument("--size", type=int, default=None, help="side in pixels of what the network sees [160 of shapes; 416]")
    parser.add_argument("--peers", default="onnxruntime,openvino,opencv", help="those to try, comma-separated")
    return parser.parse_args(argv)


@user_facing
def main(argv=None):
    """Measure, and print what was."""
    arguments = arguments_of(argv)
    say(machine())
    with tempfile.TemporaryDirectory() as work, voc_folder(arguments.images, arguments.count) as (folder, classes):
        paths = sorted(glob.glob(os.path.join(folder, "VOC2007", "JPEGImages", "*.jpg")))
        models = {engine: opened(arguments, folder, classes, work, engine) for engine in ("mxnet", "onnx")}
        video = write_video(paths, os.path.join(work, "v.mp4"))
        command = commands(models, paths, video, work, arguments.rounds)
        others = peers(models["onnx"], paths, work, arguments)
        result = {"network": arguments.network, "size": models["onnx"].detector.transform.size, "images": len(paths),
                  "threads": threads(), "machine": machine(), **command, **others,
                  **floors(models["onnx"], paths)}
    finish(result)


def threads():
    """Threads of the network on every side but MXNet's, which takes OMP_NUM_THREADS or half of the cores."""
    from gluon_bof import threads
    return threads.beside_mxnet()


def opened(arguments, folder, classes, work, engine):
    """The Model, whose export is made."""
    from gluon_bof.inference.model import open_model

    if arguments.network == "shapes":
        model = open_model("shapes", "cpu", arguments.size or 160, engine=engine)
    else:
        from gluon_bof.data.sets import open_set
        from gluon_bof.options.yolo3 import Yolo3Options
        path = os.path.join(work, "settled.params")
        if not os.path.exists(path):
            options = Yolo3Options(network=arguments.network, data_shape=arguments.size or 416, pretrained_base="no", gpus="")
            settled_weights(options, open_set(folder, None, "train", tuple(classes)), path)
        model = open_model(path, "cpu", arguments.size or 416, engine=engine, network=arguments.network,
                           classes=",".join(classes))
    model.predict([np.zeros((480, 640, 3), np.uint8)] * 8)
    return model


def write_video(paths, target):
    """The images as a video's frames. Returns its path."""
    writer = cv2.VideoWriter(target, cv2.VideoWriter_fourcc(*"mp4v"), 25, VIDEO)
    for path in paths:
        writer.write(cv2.resize(cv2.imread(path), VIDEO, interpolation=cv2.INTER_AREA))
    writer.release()
    return target


# ---- the command: files to drawn files -----------------------------------------------------------------------------

def commands(models, paths, video, work, rounds):
    """{"folder": {side: images a second}, …} and the ratios."""
    found = {}
    for name, words in (("folder", paths), ("video", [video])):
        sides = {"one by one": lambda words=words: one_by_one(models["mxnet"], words, work)}
        sides.update({engine: lambda engine=engine, words=words: ours(models[engine], words, work) for engine in models})
        for run in sides.values():
            run()
        values, processor = measured(sides, rounds, len(paths))
        found[name] = {side: statistics.median(of_side) for side, of_side in values.items()}
        found[f"processor_ms_{name}"] = processor
        found[f"ratio_{name}"] = {engine: ratio(values[engine], values["one by one"]) for engine in models}
        for engine in models:
            say(f"predict --engine {engine}, {name}: {found[f'ratio_{name}'][engine]:.2f} times one image after the other")
        say(f"milliseconds of processor time an image: {', '.join(f'{side} {ms:.1f}' for side, ms in processor.items())}")
    return found


def measured(sides, rounds, count):
    """({side: [images a second of each round]}, {side: milliseconds of processor time an image, median}) of functions that work
    on `count` images, each of which has run before."""
    seconds, processor = timed_in_turn(sides, rounds)
    return ({name: [count / one for one in of_side] for name, of_side in seconds.items()},
            {name: 1000 * statistics.median(of_side) / count for name, of_side in processor.items()})


def ours(model, words, work):
    """Let `predict` work."""
    from gluon_bof.inference.predict import predict_all
    from gluon_bof.inference.sources import find_sources

    with contextlib.redirect_stderr(io.StringIO()):
        predict_all(model, find_sources(words, os.path.join(work, "ours")), os.path.join(work, "ours"), SCORE)


def one_by_one(model, words, work):
    """Do what `predict` did before it read, computed and wrote at once."""
    from gluon_bof.inference.results import DetectionWriter

    out = os.path.join(work, "one")
    os.makedirs(out, exist_ok=True)
    found = DetectionWriter(model)
    for word in words:
        (_video_one_by_one if word.endswith(".mp4") else _image_one_by_one)(model, word, out, found)
    found.save(out)


def _alone(model, image):
    from gluon_bof.backend import mx
    from gluon_bof.inference.detector import unpack

    detector = model.detector
    seen = detector.see(image)
    outputs = detector.graph(mx.nd.array(seen[None], ctx=detector.device, dtype=np.uint8))
    return model.prediction(unpack(*(output.asnumpy()[0] for output in outputs), seen.shape, image.shape), SCORE)


def _image_one_by_one(model, path, out, found):
    from PIL import Image

    from gluon_bof.data.images import read_upright
    from gluon_bof.files import write_atomically
    from gluon_bof.visualization.draw import draw_detections

    image = read_upright(path)
    prediction, file = _alone(model, image), io.BytesIO()
    Image.fromarray(draw_detections(image, prediction)).save(file, format="JPEG", quality=95)
    write_atomically(os.path.join(out, os.path.basename(path)), file.getvalue())
    found.add(path, image.shape, prediction)


def _video_one_by_one(model, path, out, found):
    from gluon_bof.visualization.draw import draw_detections

    video = cv2.VideoCapture(path)
    writer = cv2.VideoWriter(os.path.join(out, "v.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25, VIDEO)
    while True:
        whole, frame = video.read()
        if not whole:
            break
        image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        prediction = _alone(model, image)
        writer.write(cv2.copyMakeBorder(draw_detections(image, prediction)[:, :, ::-1], 0, 0, 0, 0, cv2.BORDER_REPLICATE))
        found.add(path, image.shape, prediction)
    video.release()
    writer.release()


# ---- the peers: files to boxes -------------------------------------------------------------------------------------

def peers(model, paths, work, arguments):
    """{side: images a second}, their processor time, and the share of our detections that a side has, too."""
    from gluon_bof.inference.export import export_onnx

    size = (model.detector.transform.size,) * 2

    def file(nms=True):
        """Path of our export, with the last suppression or without."""
        path = os.path.join(work, f"nms-{nms}.onnx")
        if not os.path.exists(path):
            export_onnx(model.detector, path, size, nms)
        return path

    found = {"ours": lambda: model.predict(paths)}
    answers = {"ours": found["ours"]()}
    for name in filter(None, arguments.peers.split(",")):
        try:
            found[name] = _over(PEERS[name](file, threads(), model.detector), paths, size)
            answers[name] = found[name]()
        except Exception as error:  # each has errors of its own, and none of them is a reason to measure no other
            found.pop(name, None)
            say(f"{name}: left out ({type(error).__name__}: {str(error).strip().splitlines()[-1][:150] if str(error) else ''})")
    shares = {name: _share(answers["ours"], answer) for name, answer in answers.items() if name != "ours"}

    values, processor = measured(found, arguments.rounds, len(paths))
    for name in shares:
        say(f"ours {ratio(values['ours'], values[name]):.2f} times {name}, which finds {100 * shares[name]:.1f} % of the same")
    say(f"milliseconds of processor time an image: {', '.join(f'{side} {ms:.1f}' for side, ms in processor.items())}")
    return {"detections_images_per_second": {name: statistics.median(of_side) for name, of_side in values.items()},
            "detections_processor_ms": processor, "same_detections": shares}


def _over(detect, paths, size):
    """A run over all files: read, resize, detect((1, H, W, 3) uint8) -> (ids, scores, boxes), boxes in the image's pixels."""
    def run():
        found = []
        for path in paths:
            image = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
            seen = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            ids, scores, boxes = detect(seen[None])
            scale = np.array(image.shape[1::-1] * 2, np.float32) / size[0]
            found.append((ids, scores, np.clip(boxes * scale, 0, image.shape[1::-1] * 2)))
        return found
    return run


def _onnxruntime(file, threads, detector):
    import onnxruntime
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file(), settings, providers=["CPUExecutionProvider"])
    return lambda seen: _flat(session.run(["ids", "scores", "boxes"], {"image": seen}))


def _openvino(file, threads, detector):
    import openvino
    network = openvino.Core().compile_model(file(), "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                                                                 "INFERENCE_PRECISION_HINT": "f32"})
    request = network.create_infer_request()
    outputs = [network.output(name) for name in ("ids", "scores", "boxes")]

    def run(seen):
        answer = request.infer({0: seen})
        return _flat([answer[output] for output in outputs])
    return run


def _opencv(file, threads, detector):
    network = cv2.dnn.readNetFromONNX(file(nms=False))
    cv2.setNumThreads(threads)

    def run(seen):
        network.setInput(seen.astype(np.float32))
        return _suppressed(*(array[0] for array in network.forward(["boxes", "scores"])), detector.network)
    return run


def _suppressed(boxes, scores, network):
    """(ids, scores, boxes) of candidates (N, 4) and (N, K), by OpenCV's suppression."""
    places, ids = np.nonzero(scores > 0.01)
    best = np.argsort(-scores[places, ids])[:network.nms_topk]
    places, ids = places[best], ids[best]
    corners, values = boxes[places], scores[places, ids]
    kept = cv2.dnn.NMSBoxesBatched(np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist(), values.tolist(),
                                   ids.tolist(), 0.01, network.nms_thresh, top_k=network.post_nms)
    kept = np.asarray(kept, int).ravel()
    return ids[kept], values[kept], corners[kept]


def _flat(outputs):
    ids, scores, boxes = (output[0] for output in outputs)
    kept = ids[:, 0] >= 0
    return ids[kept, 0], scores[kept, 0], boxes[kept]


PEERS = {"onnxruntime": _onnxruntime, "opencv": _opencv, "openvino": _openvino}


def _share(ours, theirs):
    """Share of our detections of at least COMPARED that the other side has, too; 1 where there are none."""
    from gluon_bof.boxes import iou

    count = same = 0
    for one, (ids, _, boxes) in zip(ours, theirs):
        sure = one.scores >= COMPARED
        alike = (iou(one.boxes[sure], boxes) >= SAME_BOX) & (one.classes[sure][:, None] == ids)
        count += int(sure.sum())
        same += int(alike.any(axis=1).sum())
    return same / count if count else 1.0


# ---- the floors ----------------------------------------------------------------------------------------------------

def floors(model, paths):
    """Milliseconds an image of decoding and of the network, each alone, and the share of the matrix peak that it reaches."""
    from gluon_bof.data.images import read_upright

    detector = model.detector
    images = [read_upright(path) for path in paths[:8]]
    batch = np.stack([detector.see(image) for image in images])

    def milliseconds(run):
        times = []
        for _ in range(5):
            began = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - began) / len(batch))
        return statistics.median(times)

    decode = milliseconds(lambda: [read_upright(path) for path in paths[:len(batch)]])
    network = milliseconds(lambda: detector.engine(batch))
    peak = matrix_peak()
    share = operations(detector.network, detector.transform.size) / 1e6 / network / peak
    say(f"decoding alone {decode:.2f} ms an image, the network alone {network:.2f} ms: {100 * share:.0f} % of the matrix peak")
    return {"decode_ms": decode, "network_ms": network, "share_of_peak": share}


if __name__ == "__main__":
    main()
