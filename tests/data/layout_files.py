"""One set of four images to train on and two to validate, written by hand as every layout that programs leave."""
import json
import os

import cv2
import numpy as np

from tests.data.voc_files import xml

WIDTH, HEIGHT = 100, 80
CLASSES = ("cat", "dog")
# image: (part, [(class, left, top, right, bottom) in pixels from 0])
IMAGES = {"a": ("train", [("dog", 9, 19, 49, 59), ("cat", 0, 0, 33, 7)]), "b": ("train", [("cat", 1, 2, 3, 79)]),
          "c": ("train", []), "d": ("train", [("dog", 50, 10, 99, 71)]), "e": ("val", [("cat", 20, 30, 41, 77)]),
          "f": ("val", [("dog", 5, 6, 7, 8), ("dog", 60, 0, 99, 20)])}
SHARE = ["e", "f"]  # whose `b2sum -l 64`, 0336b3e5452c5a75 and 075197d273437c47, are below half; the others' begin with 9 to d


def put_image(folder, name, ending=".jpg"):
    """An image that no other name has."""
    os.makedirs(folder, exist_ok=True)
    pixels = np.random.default_rng(ord(name)).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    cv2.imwrite(os.path.join(folder, name + ending), pixels)


def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text if isinstance(text, str) else json.dumps(text))


def of_voc(name):
    return xml(*[(label, left + 1, top + 1, right + 1, bottom + 1) for label, left, top, right, bottom in IMAGES[name][1]],
               filename=f"{name}.jpg")


def of_yolo(name, digits=6):
    """As LabelImg and CVAT write it."""
    return "".join(f"{CLASSES.index(label)} " + " ".join(f"{value:.{digits}f}" for value in (
        (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT)) + "\n"
        for label, left, top, right, bottom in IMAGES[name][1])


def of_segments(name):
    return "".join(f"{CLASSES.index(label)} " + " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in (
        (left, top), (right, (top + bottom) / 2), ((left + right) / 2, bottom))) + "\n"
        for label, left, top, right, bottom in IMAGES[name][1])


def of_labelme(name, kind="rectangle", image=None):
    def points(left, top, right, bottom):
        return [[right, top], [left, bottom]] if kind == "rectangle" else [[left, top + 1], [right, top], [left + 1, bottom]]
    return {"version": "5.0.1", "flags": {}, "shapes": [{"label": label, "points": points(*box), "shape_type": kind, "flags": {}}
                                                        for label, *box in IMAGES[name][1]],
            "imagePath": image or f"{name}.jpg", "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}


def of_coco(names, place="{}.jpg"):
    images = [{"id": number, "file_name": place.format(name), "width": WIDTH, "height": HEIGHT}
              for number, name in enumerate(names)]
    boxes = [(number, box) for number, name in enumerate(names) for box in IMAGES[name][1]]
    return {"info": {}, "licenses": [], "categories": [{"id": 1 + number, "name": name} for number, name in enumerate(CLASSES)],
            "images": images, "annotations": [
                {"id": number, "image_id": image, "category_id": 1 + CLASSES.index(label), "iscrowd": 0,
                 "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}
                for number, (image, (label, left, top, right, bottom)) in enumerate(boxes)]}


def names_of(part):
    return [name for name, (of_part, _) in IMAGES.items() if of_part == part]


def pairs(root, images, labels, ending, text, valid="val"):
    """Images and labels of both parts in the folders that these formats of the part's name say."""
    for name, (part, _) in IMAGES.items():
        part = valid if part == "val" else part
        put_image(os.path.join(root, images.format(part)), name)
        put(os.path.join(root, labels.format(part), name + ending), text(name))


def voc_standard(root):
    pairs(root, "JPEGImages", "Annotations", ".xml", of_voc)
    for part, file in (("train", "trainval"), ("val", "test")):
        put(os.path.join(root, "ImageSets", "Main", file + ".txt"), "\n".join(names_of(part)))


def voc_siblings_with_sets(root):
    pairs(root, "jpg", "xml", ".xml", of_voc)
    for part in ("train", "val"):
        put(os.path.join(root, "ImageSets", "Main", part + ".txt"), "\n".join(names_of(part)))


def voc_beside(root):
    pairs(root, "{}", "{}", ".xml", of_voc, "test")


def voc_of_splits(root):
    pairs(root, "{}/images", "{}/annots", ".xml", of_voc, "valid")


def voc_split_inside(root):
    pairs(root, "images/{}", "annots/{}", ".xml", of_voc)


def voc_one_folder_of_xml(root):
    pairs(root, "images/{}", "annots", ".xml", of_voc)


def voc_annotations_of_splits(root):
    pairs(root, "Images/{}", "Annotations/{}", ".xml", of_voc)


def voc_annotations_of_split_images(root):
    pairs(root, "images/{}", "Annotations", ".xml", of_voc)


def voc_in_folders_of_splits(root):
    pairs(root, "{}/JPEGImages", "{}/Annotations", ".xml", of_voc)


def roboflow_coco(root):
    for part, folder in (("train", "train"), ("val", "valid")):
        put(os.path.join(root, folder, "_annotations.coco.json"), of_coco(names_of(part)))
        for name in names_of(part):
            put_image(os.path.join(root, folder), name)


def coco_standard(root):
    for part in ("train", "val"):
        put(os.path.join(root, "annotations", f"instances_{part}2017.json"), of_coco(names_of(part)))
        for name in names_of(part):
            put_image(os.path.join(root, f"{part}2017"), name)


def ultralytics(root):
    pairs(root, "images/{}", "labels/{}", ".txt", of_yolo)
    put(os.path.join(root, "data.yaml"), "path: ../elsewhere\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n")


def yolo_unpacked(root):
    ultralytics(os.path.join(root, "inner"))


def yolo_segments(root):
    pairs(root, "images/{}", "labels/{}", ".txt", of_segments)
    put(os.path.join(root, "data.yaml"), f"path: {root}\ntrain: [images/train]\nval: images/val\nnames: [cat, dog]\n")


def roboflow_yolo(root):
    pairs(root, "{}/images", "{}/labels", ".txt", of_yolo, "valid")
    put(os.path.join(root, "data.yaml"), "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
        "names: ['cat', 'dog']\n")
    put(os.path.join(root, "README.roboflow.txt"), "exported")


def yolo_lists(root):
    pairs(root, "images/{}", "labels/{}", ".txt", of_yolo)
    for part in ("train", "val"):
        put(os.path.join(root, f"{part}.txt"), "".join(f"./images/{part}/{name}.jpg\n" for name in names_of(part)))
    put(os.path.join(root, "data.yaml"), "train: train.txt\nval: val.txt\nnames: [cat, dog]\n")


def yolo_absolute(root):
    pairs(root, "images/{}", "labels/{}", ".txt", of_yolo)
    put(os.path.join(root, "my.yaml"), f"train: {root}/images/train\nval: {root}/images/val\nnames: [cat, dog]\n")


def cvat_darknet(root):
    pairs(root, "obj_train_data/{}", "obj_train_data/{}", ".txt", of_yolo)
    for part in ("train", "val"):
        put(os.path.join(root, f"{part}.txt"), "".join(f"data/obj_train_data/{part}/{name}.jpg\n" for name in names_of(part)))
    put(os.path.join(root, "obj.names"), "cat\ndog\n")
    put(os.path.join(root, "obj.data"), "classes = 2\nnames = data/obj.names\ntrain = data/train.txt\nvalid = data/val.txt\n")


def labelimg_yolo(root):
    pairs(root, "{}", "{}", ".txt", of_yolo)
    put(os.path.join(root, "train", "classes.txt"), "cat\ndog\n")


def labelme_beside(root):
    pairs(root, "{}", "{}", ".json", of_labelme)


def labelme_apart(root):
    pairs(root, "{}/images", "{}/labels", ".json", lambda name: of_labelme(name, "polygon", f"..\\images\\{name}.jpg"), "valid")


def labelme_annotations(root):
    pairs(root, "images/{}", "annotations/{}", ".json", of_labelme)


def labelme_one_folder_of_json(root):
    pairs(root, "images/{}", "annotations", ".json",
          lambda name: of_labelme(name, image=f"../images/{IMAGES[name][0]}/{name}.jpg"))


LAYOUTS = {"voc": (voc_standard, voc_siblings_with_sets, voc_beside, voc_of_splits, voc_split_inside, voc_one_folder_of_xml,
                   voc_annotations_of_splits, voc_annotations_of_split_images, voc_in_folders_of_splits),
           "coco": (coco_standard, roboflow_coco),
           "yolo": (ultralytics, yolo_unpacked, yolo_segments, roboflow_yolo, yolo_lists, yolo_absolute, cvat_darknet,
                    labelimg_yolo),
           "labelme": (labelme_beside, labelme_apart, labelme_annotations, labelme_one_folder_of_json)}


def sessions(root, images, labels, ending, text):
    """Two sessions whose images have the same names, each with the boxes of IMAGES["d"] or "e" and "f"; one image has none."""
    for session, boxes in (("monday", {"a": "d"}), ("tuesday", {"a": "e", "b": "f"})):
        for name in "ab":
            put_image(os.path.join(root, images.format(session)), name)
        for name, other in boxes.items():
            put(os.path.join(root, labels.format(session), name + ending), text(other))


# all six images in one part

def one_folder(root, ending, text):
    for name in IMAGES:
        put_image(root, name)
        put(os.path.join(root, name + ending), text(name))


def one_json(root):
    for name in IMAGES:
        put_image(root, name)
    put(os.path.join(root, "boxes.json"), of_coco(IMAGES))


def label_studio(root):
    for name in IMAGES:
        put_image(os.path.join(root, "images"), name)
    put(os.path.join(root, "result.json"), of_coco(IMAGES, "images\\{}.jpg"))


def cvat_coco(root):
    for name in IMAGES:
        put_image(os.path.join(root, "images", "default"), name)
    put(os.path.join(root, "annotations", "instances_default.json"), of_coco(IMAGES))


def voc_of_lists(root, **lists):
    """VOC's layout whose lists have other names than those of parts: {name: lines}."""
    pairs(root, "JPEGImages", "Annotations", ".xml", of_voc)
    for name, lines in lists.items():
        put(os.path.join(root, "ImageSets", "Main", name + ".txt"), "\n".join(lines))


def cvat_voc(root):
    voc_of_lists(root, default=IMAGES)


def vott_voc(root):
    voc_of_lists(root, **{f"{label}_{part}": [f"{name} 1" for name in names_of(part)] for label in CLASSES
                          for part in ("train", "val")})


def labelimg_in_one_folder(root):
    one_folder(root, ".txt", of_yolo)
    put(os.path.join(root, "classes.txt"), "cat\ndog\n")


ONE_PART = (lambda root: one_folder(root, ".xml", of_voc), lambda root: one_folder(root, ".json", of_labelme), one_json,
            label_studio, labelimg_in_one_folder)


# what was read

def stems(found):
    return [os.path.splitext(os.path.basename(record.path))[0] for record in found.records]


def assert_is_the_set(found, names):
    assert found.classes == CLASSES and stems(found) == names and not found.faults
    for record, name in zip(found.records, names):
        expected = IMAGES[name][1]
        assert record.boxes.dtype == np.float32 and record.boxes.tolist() == [list(map(float, box[1:])) for box in expected]
        assert [CLASSES[number] for number in record.classes] == [box[0] for box in expected]
        assert (record.width, record.height) == (WIDTH, HEIGHT)
        assert not record.difficult.any() and not record.crowd.any()
