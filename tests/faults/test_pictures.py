"""Pictures of every type are read as they look, or refused in one line."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxgan.data.pixels import decode, to_bytes
from jaxgan.errors import UserError

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


def test_a_picture_of_as_many_pixels_in_another_shape_is_refused():
    with pytest.raises(UserError, match="an image has 6 x 5 pixels, others have 5 x 6"):
        decode(png(Image.fromarray(RAMP)), shape=(6, 5, 1), resized=False)


def test_a_print_s_four_inks_become_three_colors():
    inks = Image.fromarray(np.concatenate([255 - COLORS, 0 * OPAQUE], axis=-1), mode="CMYK")
    np.testing.assert_allclose(np.asarray(to_bytes(inks, channels=3)), COLORS, atol=1)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_without_a_fixed_range_are_refused(kind):
    with pytest.raises(UserError, match=r"floating point|beyond 16 bits"):
        to_bytes(Image.fromarray((RAMP.astype(kind) - 1) * 1000), channels=1)
