import io

import numpy as np
import pytest
from PIL import Image

from jaxgan.data.pixels import decode, to_bytes
from jaxgan.errors import UserError

from .test_pictures import GREY, load, save

RAMP = np.linspace(0, 255, 30).round().astype(np.uint8).reshape(5, 6)
COLORS = np.stack([RAMP, RAMP[::-1], RAMP.T.reshape(5, 6)], axis=-1)
OPAQUE = np.full((5, 6, 1), 255, np.uint8)
PALETTE = Image.fromarray(COLORS).quantize(256)


def png(image):
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize("resized", [False, True])
@pytest.mark.parametrize(
    ("image", "seen"),
    [
        (Image.fromarray(RAMP), RAMP),
        (Image.fromarray(257 * RAMP.astype(np.uint16)), RAMP),
        (Image.fromarray(RAMP > 100), 255 * (RAMP > 100).astype(np.uint8)),
        (Image.fromarray(np.dstack([RAMP, OPAQUE[..., 0]])), RAMP),
        (Image.fromarray(np.dstack([RAMP, 0 * OPAQUE[..., 0]])), np.full_like(RAMP, 255)),
    ],
    ids=["8 bits", "16 bits", "1 bit", "opaque", "transparent"],
)
def test_grey_pictures_of_every_depth_look_alike(image, seen, resized):
    found = decode(png(image), shape=(5, 6, 1), resized=resized)
    np.testing.assert_allclose(found[..., 0].astype(int), seen, atol=resized)


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        (Image.fromarray(COLORS), COLORS),
        (PALETTE, np.asarray(PALETTE.convert("RGB"))),
        (Image.fromarray(np.concatenate([COLORS, OPAQUE], axis=-1)), COLORS),
        (Image.fromarray(np.concatenate([COLORS, 0 * OPAQUE], axis=-1)), np.full_like(COLORS, 255)),
        (Image.fromarray(257 * RAMP.astype(np.uint16)), np.dstack([RAMP] * 3)),
    ],
    ids=["colors", "palette", "opaque", "transparent", "grey of 16 bits"],
)
def test_colored_pictures_of_every_mode_look_alike(image, seen):
    np.testing.assert_array_equal(decode(png(image), shape=(5, 6, 3), resized=False), seen)


@pytest.mark.parametrize("depth", [1, 257])
def test_the_transparent_grey_of_a_picture_is_white(depth):
    image, file = Image.fromarray(depth * RAMP.astype(np.uint8 if depth == 1 else np.uint16)), io.BytesIO()
    image.save(file, "png", transparency=depth * int(RAMP[2, 3]))
    found = decode(file.getvalue(), shape=(5, 6, 1), resized=False)[..., 0]
    np.testing.assert_array_equal(found, np.where(RAMP[2, 3] == RAMP, 255, RAMP))


def test_a_picture_of_as_many_pixels_in_another_shape_is_refused():
    with pytest.raises(UserError, match="an image has 6 x 5 pixels, others have 5 x 6"):
        decode(png(Image.fromarray(RAMP)), shape=(6, 5, 1), resized=False)


def test_a_print_s_four_inks_become_three_colors():
    inks = Image.fromarray(np.concatenate([255 - COLORS, 0 * OPAQUE], axis=-1), mode="CMYK")
    np.testing.assert_allclose(np.asarray(to_bytes(inks, channels=3)), COLORS, atol=1)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_without_a_fixed_range_are_refused(kind):
    with pytest.raises(UserError, match=r"floating-point|beyond 16 bits"):
        to_bytes(Image.fromarray((RAMP.astype(kind) - 1) * 1000), channels=1)


# A letter in the place of a number, in the only field of an EXIF block.
LETTER = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0A\0\0\0\0\0\0\0"


def turned(orientation=6):
    exif = Image.Exif()
    exif[0x0112] = orientation  # 6: to be turned by a quarter
    return {"exif": exif}


def colours(pixels=GREY):
    return Image.fromarray(np.stack([pixels, 255 - pixels, pixels // 2], axis=-1))


@pytest.mark.parametrize(
    ("picture", "how", "shape", "expected"),
    [
        (colours(), {}, (8, 6, 3), np.asarray(colours())),
        (Image.fromarray(np.dstack([np.asarray(colours()), np.zeros_like(GREY)])), {}, (8, 6, 3), 255),
        (Image.new("L", (6, 8)), {"transparency": 0}, (8, 6, 1), 255),
        (Image.new("RGB", (6, 8)), {"transparency": (0, 0, 0)}, (8, 6, 3), 255),
        (Image.fromarray(GREY.astype(np.uint16) * 257), {}, (8, 6, 1), GREY[..., None]),
        (Image.fromarray(GREY > 99), {}, (8, 6, 1), np.uint8(255) * (GREY > 99)[..., None]),
        (colours().convert("P"), {}, (8, 6, 3), np.asarray(colours().convert("P").convert("RGB"))),
        (Image.fromarray(GREY), turned(), (6, 8, 1), np.rot90(GREY, -1)[..., None]),
        (Image.fromarray(GREY), turned(9), (8, 6, 1), GREY[..., None]),
        (Image.fromarray(GREY), {"exif": LETTER}, (8, 6, 1), GREY[..., None]),
    ],
    ids=[
        "colours",
        "transparent",
        "grey key",
        "colour key",
        "sixteen bits",
        "one bit",
        "palette",
        "turned",
        "unknown",
        "no number",
    ],
)
def test_pictures_of_every_mode_are_read_as_they_look(tmp_path, picture, how, shape, expected):
    for i in range(2):
        save(tmp_path / "set" / f"{i}.png", picture, **how)
    found = load(tmp_path / "set", tmp_path)
    assert (found.image_shape, found.class_names) == (shape, ("image",))
    np.testing.assert_array_equal(found.images[0], np.broadcast_to(expected, shape))


def test_cmyk_pictures_are_colours(tmp_path):
    for i in range(2):
        save(tmp_path / "set" / f"{i}.jpg", Image.new("CMYK", (6, 8), (255, 0, 0, 0)))
    assert load(tmp_path / "set", tmp_path).images[0, 4, 3].tolist() == pytest.approx([0, 255, 255], abs=3)


@pytest.mark.parametrize("image_size", [None, 4])
def test_a_second_view_in_a_phone_s_jpeg_is_left_out(tmp_path, image_size):
    for i in range(2):
        save(tmp_path / "set" / f"{i}.jpg", colours(), format="MPO", save_all=True, append_images=[colours()])
    assert load(tmp_path / "set", tmp_path, image_size=image_size).image_shape[2] == 3
