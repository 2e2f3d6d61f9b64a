"""Two JPEG decoders, one result: simplejpeg, where it is installed, gives OpenCV's pixels, and OpenCV judges what is broken."""
import cv2
import numpy as np
import pytest

from gluon_bof.data import images
from gluon_bof.data.images import decode_image, read_image

simplejpeg = pytest.importorskip("simplejpeg")
SAMPLINGS = {name: getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}") for name in ("411", "420", "422", "440", "444")}


def photograph(rng, height, width):
    """Smooth colours with edges and noise, as cameras see them."""
    coarse = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    image[height // 3:height // 2, width // 4:] += 90
    return (image + rng.normal(0, 9, image.shape)).clip(0, 255).astype(np.uint8)


def encoded(image, *settings):
    return cv2.imencode(".jpg", image, list(settings))[1].tobytes()


def without_a_part(data):
    """A JPEG whose first scan ends in its middle."""
    return data[:len(data) // 2] + b"\xff\xd9" + data[len(data) // 2 + 2:]


def without(monkeypatch, data):
    """What OpenCV gives or says."""
    with monkeypatch.context() as patch:
        patch.setattr(images, "simplejpeg", None)
        return outcome(data)


def outcome(data):
    try:
        return decode_image(data)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("progressive", (0, 1))
def test_pixels_are_opencvs(monkeypatch, sampling, progressive):
    rng = np.random.default_rng(int(sampling))
    for height, width in ((64, 64), (61, 83), (7, 9), (1, 1), (120, 33)):
        for quality in (35, 90, 100):
            data = encoded(photograph(rng, height, width), cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE,
                           progressive, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling], cv2.IMWRITE_JPEG_RST_INTERVAL, 3)
            found = decode_image(data)
            np.testing.assert_array_equal(found, without(monkeypatch, data))
            assert found.flags.c_contiguous and found.flags.writeable


@pytest.mark.parametrize("mode", ("L", "RGB", "CMYK"))
def test_grey_and_ink_are_too(monkeypatch, tmp_path, mode):
    from PIL import Image

    path = tmp_path / "a.jpg"
    picture = Image.fromarray(photograph(np.random.default_rng(0), 40, 50)).convert(mode)
    for options in ({"quality": 90}, {"quality": 90, "keep_rgb": True}):
        if mode != "RGB" and "keep_rgb" in options:
            continue
        try:
            picture.save(path, **options)
        except TypeError:  # an older Pillow
            continue
        data = path.read_bytes()
        np.testing.assert_array_equal(decode_image(data), without(monkeypatch, data))


def test_a_damaged_file_gives_what_opencv_gives_or_its_words(monkeypatch):
    rng = np.random.default_rng(1)
    whole = encoded(photograph(rng, 64, 96), cv2.IMWRITE_JPEG_QUALITY, 90)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(2, len(data) - 2, rng.integers(1, 4)):
            data[place] = rng.integers(256)
        data = bytes(data)
        found, wanted = outcome(data), without(monkeypatch, data)
        assert isinstance(found, str) == isinstance(wanted, str)
        if isinstance(found, str):
            refused += 1
            assert found == wanted
        else:
            np.testing.assert_array_equal(found, wanted)
    assert refused


def test_pixels_that_are_lost_are_told_once_with_the_files_name(tmp_path, caplog):
    """libjpeg says it of no file; what harms no pixel, and colours that OpenCV alone reads, are no loss."""
    from PIL import Image

    lost, others = tmp_path / "lost.jpg", tmp_path / "fine.jpg"
    whole = encoded(photograph(np.random.default_rng(3), 64, 96), cv2.IMWRITE_JPEG_QUALITY, 90)
    lost.write_bytes(without_a_part(whole))
    for _ in range(2):
        found = read_image(lost)
    np.testing.assert_array_equal(found, cv2.imread(str(lost))[:, :, ::-1])
    message, = caplog.messages
    assert message.startswith(f"{lost}: pixels are lost (Corrupt JPEG data: premature end of data segment)")
    caplog.clear()
    for data in (whole[:-2] + bytes(9) + whole[-2:], whole, encoded(np.zeros((16, 16, 3), np.uint8))):
        others.write_bytes(data)
        read_image(others)
    Image.fromarray(found).convert("CMYK").save(others)
    read_image(others)
    assert not caplog.messages


@pytest.mark.parametrize("settings", ((), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
                         ids=("baseline", "restart-markers", "progressive"))
def test_bytes_that_a_damaged_scan_left_over_are_a_loss_and_padding_is_none(tmp_path, caplog, settings):
    """libjpeg calls both "extraneous"; of a third of damaged photographs it says nothing else."""
    whole = encoded(photograph(np.random.default_rng(3), 240, 320), cv2.IMWRITE_JPEG_QUALITY, 90, *settings)
    padded = tmp_path / "padded.jpg"
    padded.write_bytes(whole[:-2] + bytes(9) + whole[-2:])
    read_image(padded)
    assert not caplog.messages
    told = 0
    for place in range(len(whole) // 4, len(whole) // 2, len(whole) // 40):
        data = whole[:place] + bytes(64) + whole[place + 64:]
        try:
            simplejpeg.decode_jpeg(data)
            continue
        except ValueError as error:
            if "extraneous" not in str(error):
                continue
        path = tmp_path / f"{place}.jpg"
        path.write_bytes(data)
        assert (read_image(path) != read_image(padded)).any()
        assert caplog.messages.pop().startswith(f"{path}: pixels are lost (Corrupt JPEG data: ")
        told += 1
    assert told


def test_a_file_that_is_cut_short_is_refused(monkeypatch):
    whole = encoded(photograph(np.random.default_rng(2), 64, 96))
    for length in (3, 200, len(whole) // 2, len(whole) - 2):
        assert outcome(whole[:length]) == without(monkeypatch, whole[:length])
        assert isinstance(outcome(whole[:length]), str)


def with_sampling(data, factors):
    """The same JPEG whose header says other sampling factors, of each component: what is decoded differs, and is whole or not."""
    frame = data.index(b"\xff\xc0")
    changed = bytearray(data)
    changed[frame + 11:frame + 11 + 3 * len(factors):3] = factors
    return bytes(changed)


def test_samplings_without_a_name_in_simplejpeg_are_decoded(monkeypatch):
    """4:4:1 was a KeyError."""
    image = np.full((64, 64, 3), 90, np.uint8)  # one MCU of eight blocks and less says the same as one of three
    data = encoded(image, cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS["444"])
    for first in (0x14, 0x41, 0x24, 0x42, 0x13, 0x31):
        damaged = with_sampling(data, (first, 0x11, 0x11))
        found, wanted = outcome(damaged), without(monkeypatch, damaged)
        assert isinstance(wanted, np.ndarray)
        np.testing.assert_array_equal(found, wanted)


def test_a_size_that_only_the_decoder_sees_is_limited_too(monkeypatch):
    """Behind more fill bytes than the header's reader looks through, a few hundred bytes asked for 12.9 GB."""
    data = encoded(np.zeros((16, 16, 3), np.uint8))
    frame = data.index(b"\xff\xc0")
    large = bytearray(data[frame:])
    large[5:9] = (65500).to_bytes(2, "big") * 2
    bomb = data[:frame] + b"\xff" * 70_000 + bytes(large)
    asked = []
    decode = images.simplejpeg.decode_jpeg
    monkeypatch.setattr(images.simplejpeg, "decode_jpeg", lambda *given: asked.append(given) or decode(*given))
    decode_image(data)
    assert len(asked) == 1
    assert outcome(bomb) == without(monkeypatch, bomb) == "not an image that can be decoded" and len(asked) == 1
