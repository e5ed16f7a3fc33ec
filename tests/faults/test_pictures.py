"""Pictures and samples of every type are read as they look, or refused in one line."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxgan.data.pixels import decode, to_bytes
from jaxgan.errors import UserError
from jaxgan.evaluation import sample_files

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


BYTES = np.resize(RAMP[..., None], (20, 5, 6, 1))
UNIT, SIGNED = BYTES / 255, BYTES / 127.5 - 1
WITHOUT = [np.int8, np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64, np.bool_, np.complex64, "M8[s]"]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("scaled", [UNIT, SIGNED, 0.9 * SIGNED], ids=["unit", "signed", "less than signed"])
def test_floats_of_every_width_are_read_on_their_scale(kind, scaled, tmp_path):
    np.save(tmp_path / "a.npy", scaled.astype(kind))
    found = sample_files.read(tmp_path / "a.npy", image_shape=(5, 6, 1))
    seen = np.round(255 * (scaled if scaled.min() == 0 else (scaled + 1) / 2))
    np.testing.assert_allclose(found.astype(float), seen, atol=1 if kind is np.float16 else 0)


@pytest.mark.parametrize("kind", WITHOUT)
def test_samples_of_a_type_without_a_scale_are_refused(kind, tmp_path):
    np.save(tmp_path / "a.npy", BYTES.astype(kind))
    with pytest.raises(UserError, match=r"is of type .*, it must be uint8, or floats"):
        sample_files.read(tmp_path / "a.npy", image_shape=(5, 6, 1))


@pytest.mark.parametrize("low", [-0.5, -0.25, 0.0])
def test_samples_on_half_of_a_scale_are_refused(low, tmp_path):
    np.save(tmp_path / "a.npy", UNIT * (1 if low == -0.5 else 0.5) + low)
    with pytest.raises(UserError, match=rf"has floats from {low:.4g} to .*, which are clearly neither"):
        sample_files.read(tmp_path / "a.npy", image_shape=(5, 6, 1))
