"""Sets in VOC's layout, written by hand."""
import cv2
import numpy as np

WIDTH, HEIGHT = 100, 80


def xml(*objects, size=(WIDTH, HEIGHT), filename="other.jpg"):
    """An annotation; an object is (name, xmin, ymin, xmax, ymax) and perhaps its difficult flag, or raw XML."""
    parts = [item if isinstance(item, str) else
             f"<object><name>{item[0]}</name><difficult>{(item + (0,))[5]}</difficult><bndbox><xmin>{item[1]}</xmin>"
             f"<ymin>{item[2]}</ymin><xmax>{item[3]}</xmax><ymax>{item[4]}</ymax></bndbox></object>"
             for item in objects]
    return (f"<annotation><filename>{filename}</filename><size><width>{size[0]}</width><height>{size[1]}</height>"
            f"<depth>3</depth></size>{''.join(parts)}</annotation>")


DOG = ("dog", 10, 20, 50, 60)


def write_set(folder, annotations, splits=None, ending=".jpg", images="JPEGImages"):
    """A folder of VOC's layout: annotations {id: XML}, splits {name: lines}."""
    for part in ("Annotations", images):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for image_id, text in annotations.items():
        (folder / "Annotations" / f"{image_id}.xml").write_text(text)
        cv2.imwrite(str(folder / images / (image_id + ending)), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for name, lines in (splits or {}).items():
        main = folder / "ImageSets" / "Main"
        main.mkdir(parents=True, exist_ok=True)
        (main / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


FIVE = {name: xml(DOG) for name in "abcde"}


def ids(found):
    return [record.image_id for record in found.records]
