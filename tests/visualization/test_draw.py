"""Boxes on the pixels that they name, and labels that people can read, at any size of image."""
import numpy as np
import pytest

from gluon_bof.inference.model import Prediction
from gluon_bof.visualization.draw import colour_of, draw_detections

GREY = 128


def grey(height=100, width=140):
    return np.full((height, width, 3), GREY, np.uint8)


def found(*rows):
    """Prediction of (box, class, name, score), best first."""
    boxes, classes, names, scores = zip(*rows) if rows else ((), (), (), ())
    return Prediction(np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), list(names),
                      np.array(scores, np.float32))


def place(image, colour):
    """xmin, ymin, xmax, ymax of the pixels of a colour."""
    rows, columns = np.nonzero((image == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def changed(image):
    return (image != GREY).any(axis=2)


def test_a_box_encloses_just_its_pixels():
    drawn = draw_detections(grey(), found(((30, 40, 70, 90), 2, "a", 0.5)))
    box, colour = drawn[40:90, 30:70], colour_of(2)
    for edge in (box[0], box[-1], box[:, 0], box[:, -1]):
        assert (edge == colour).all()
    assert (box[1:-1, 1:-1] == GREY).all()  # a line of one pixel on so small an image
    assert (drawn[90:] == GREY).all() and (drawn[40:, 70:] == GREY).all() and (drawn[40:, :30] == GREY).all()


def test_the_image_itself_stays():
    image = grey()
    image.flags.writeable = False
    assert changed(draw_detections(image, found(((30, 40, 70, 90), 2, "a", 0.5)))).any()
    copy = draw_detections(image, found())
    np.testing.assert_array_equal(copy, grey())
    copy[0] = 0  # a copy may be written to


def test_labels_stand_above_the_box_or_in_it_and_never_leave_the_image():
    def label(*box):
        return draw_detections(grey(), found((box, 3, "name", 0.5)))

    above = place(label(30, 60, 60, 90), colour_of(3))
    assert 40 < above[1] < 50 and above[0] == 30  # right over it, as high as its letters
    inside = label(30, 4, 60, 90)
    assert place(inside, colour_of(3))[1] == 4 and changed(inside[5:12, 32:58]).all()
    at_the_right = label(135, 60, 140, 90)
    assert place(at_the_right, colour_of(3))[2] == 140 and changed(at_the_right[50:55, 110:]).all()


def test_a_better_detection_lies_on_top():
    box = (30, 40, 70, 90)
    drawn = draw_detections(grey(), found((box, 0, "a", 0.9), (box, 1, "a", 0.2)))
    assert (drawn[89, 30:70] == colour_of(0)).all()
    # its label too, which a worse one's frame must not strike through
    worse = ((20, 33, 90, 95), 1, "a", 0.2)
    alone, both = (draw_detections(grey(), found(*rows)) for rows in (((box, 0, "a", 0.9),), ((box, 0, "a", 0.9), worse)))
    ground = place(alone[:40], colour_of(0))
    part = slice(ground[1], ground[3]), slice(ground[0], ground[2])
    np.testing.assert_array_equal(alone[part], both[part])


def test_letters_stand_out_from_every_ground():
    for number in range(10):
        drawn = draw_detections(grey(1000, 1400), found(((300, 400, 700, 900), number, "mmmm", 0.5)))
        luminance = np.dot(colour_of(number), (0.299, 0.587, 0.114))
        clear = [(drawn == letters).all(axis=2).sum() for letters in (0, 255) if abs(letters - luminance) > 100]
        assert sum(clear) > 200, number


def test_neighbouring_classes_differ_in_colour():
    assert len({colour_of(number) for number in range(10)}) == 10
    assert colour_of(np.int64(13)) == colour_of(3)


@pytest.mark.parametrize("one, other", [("кот", "кит"), ("γάτα", "σκύλος"), ("Tür", "Tor")])
def test_names_of_other_alphabets_are_no_empty_squares(one, other):
    drawn = [draw_detections(grey(), found(((10, 40, 70, 90), 0, name, 0.5))) for name in (one, other)]
    assert not np.array_equal(*drawn)


def test_lines_and_letters_grow_with_the_image():
    small, large = (draw_detections(grey(*size), found(((0, 0.5 * size[0], size[1], size[0]), 0, "a", 0.5)))
                    for size in ((240, 320), (2400, 3200)))
    assert changed(small[:120]).sum() * 25 < changed(large[:1200]).sum()
    column = small[120:, 160], large[1200:, 1600]
    assert [(part == colour_of(0)).all(axis=1).sum() for part in column] == [2 * 1, 2 * 10]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (8, 8)])
def test_any_box_on_any_image(size):
    height, width = size
    boxes = [(0, 0, width, height), (0, 0, 0, 0), (width, height, width, height), (0, height, width, height),
             (0.4, 0.6, 0.5, 0.7), (width - 0.01, 0, width, 0.01)]
    drawn = draw_detections(grey(*size), found(*((box, 0, "a long name of a class", 1) for box in boxes)))
    assert drawn.shape == (*size, 3) and drawn.dtype == np.uint8
