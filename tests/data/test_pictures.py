import io
import logging
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxgan import data
from jaxgan.data import picture_files
from jaxgan.errors import UserError

GREY = np.add.outer(np.arange(8), np.arange(6)).astype(np.uint8) * 19  # 8 high, 6 wide


def save(path, pixels=GREY, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **how)


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        for i in range(15):
            save(tmp_path / "pictures" / name / f"{i}.png", GREY // (label + 1) + np.uint8(i))
    return tmp_path / "pictures"


def load(path, tmp_path, split="train", **how):
    return data.load(str(path), split=split, data_dir=tmp_path / "cache", **how)


def both(path, tmp_path, **how):
    return [load(path, tmp_path, split, **how) for split in ("train", "test")]


def test_folders_are_classes_and_a_tenth_is_the_test_split(folder, tmp_path):
    splits = both(folder, tmp_path)
    assert sum(split.size for split in splits) == 30
    assert 0 < splits[1].size < 10
    for split in splits:
        assert split.class_names == ("cat", "dog")
        assert split.image_shape == (8, 6, 1)
        assert (split.images.max(axis=(1, 2, 3)) > 150).tolist() == (split.labels == 0).tolist()
    seen = {image.tobytes() for split in splits for image in split.images}
    assert len(seen) == 30


def test_a_new_picture_moves_no_old_one_to_the_other_split(folder, tmp_path):
    before = {image.tobytes() for image in load(folder, tmp_path, "test").images}
    save(folder / "cat" / "new.png", 255 - GREY)
    after = load(folder, tmp_path, "test")
    assert before <= {image.tobytes() for image in after.images}
    assert after.fingerprint != load(folder.parent / "pictures", tmp_path, image_size=6).fingerprint


def test_a_second_load_maps_the_cache_until_a_picture_changes(folder, tmp_path):
    first = load(folder, tmp_path)
    again = load(folder, tmp_path)
    assert isinstance(again.images, np.memmap)
    np.testing.assert_array_equal(again.images, first.images)
    save(folder / "dog" / "3.png", np.full((8, 6), 254, np.uint8))
    changed = both(folder, tmp_path)
    assert any((split.images == 254).all(axis=(1, 2, 3)).any() for split in changed)
    assert changed[0].fingerprint != first.fingerprint


def test_a_stream_has_the_images_and_the_order_of_memory(folder, tmp_path):
    whole, stream = load(folder, tmp_path, image_size=5), data.stream(str(folder), image_size=5)
    assert (stream.size, stream.image_shape, stream.fingerprint) == (whole.size, whole.image_shape, whole.fingerprint)
    images, labels = stream.read([3, 0, 7])
    np.testing.assert_array_equal(images, whole.images[[3, 0, 7]])
    np.testing.assert_array_equal(labels, whole.labels[[3, 0, 7]])


def test_a_zip_that_asks_for_another_version_is_refused(folder, tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "cat" / "0.png", "0.png")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 64  # the version that is needed to read it, times ten
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"pictures.zip' cannot be read \(zip file version 6.4\)"):
        load(path, tmp_path)


@pytest.mark.parametrize("slash", ["/", "\\"])
@pytest.mark.parametrize("how", ["pictures/{}", "/absolute/{}", "{}"])
def test_a_zip_of_a_folder_is_that_folder_without_hidden_ones(folder, tmp_path, how, slash):
    save(folder / ".ipynb_checkpoints" / "0-checkpoint.png")
    save(folder / "cat" / "__MACOSX" / "0.png")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            name = how.format(file.relative_to(folder))
            archive.writestr(name.replace("/", slash), file.read_bytes())
            archive.writestr(f"__MACOSX/{name}", b"no picture")
    zipped, plain = both(tmp_path / "pictures.zip", tmp_path), both(folder, tmp_path)
    assert [split.class_names for split in zipped] == [split.class_names for split in plain]
    images = lambda splits: sorted(image.tobytes() for split in splits for image in split.images)
    assert images(zipped) == images(plain)
    if how == "pictures/{}":
        np.testing.assert_array_equal(zipped[1].images, plain[1].images)


def test_folders_that_are_links_are_classes_and_loops_are_left_out(folder, tmp_path):
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).symlink_to(folder / name)
    (folder / "dog" / "up").symlink_to(folder)
    assert [len(split.labels) for split in both(tmp_path / "set", tmp_path)] == [
        len(split.labels) for split in both(folder, tmp_path)
    ]
    assert load(tmp_path / "set", tmp_path).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "names", [("train", "val"), ("Train", "Test"), ("training", "testing"), ("train", "val", "test"), ("TRAIN", "dev")]
)
def test_folders_with_the_usual_names_of_splits_are_splits(tmp_path, names):
    for name in names:
        for label in "ab":
            save(tmp_path / "set" / name / label / "0.png")
    train, test = both(tmp_path / "set", tmp_path)
    assert (train.size, test.size, train.class_names) == (2, 2 * len(names) - 2, ("a", "b"))
    save(tmp_path / "set" / "extra" / "c" / "0.png")
    with pytest.raises(UserError, match=r"has splits such as 'train', but 'extra' is no split; move it"):
        load(tmp_path / "set", tmp_path)


def test_runs_in_the_folder_of_their_pictures_are_none_of_these(folder, tmp_path):
    before = load(folder, tmp_path)
    save(folder / "runs" / "mine" / "figures" / "samples.png")
    for name in ("config.json", "metrics.jsonl"):
        (folder / "runs" / "mine" / name).touch()
    assert load(folder, tmp_path).fingerprint == before.fingerprint


def test_a_folder_alone_is_no_class_if_there_are_folders_in_it(folder, tmp_path):
    (tmp_path / "set").mkdir()
    folder.rename(tmp_path / "set" / "train")
    assert load(tmp_path / "set", tmp_path).class_names == ("cat", "dog")


@pytest.mark.parametrize("around", ["", "download", "download/pictures"])
def test_splits_in_folders_that_are_alone_are_splits(tmp_path, around):
    for split in ("training", "testing"):
        for label in "ab":
            save(tmp_path / "set" / around / split / label / "0.png")
    assert [(part.size, part.class_names) for part in both(tmp_path / "set", tmp_path)] == [(2, ("a", "b"))] * 2


def test_folders_with_links_to_each_other_end(folder, tmp_path):
    (folder / "cat" / "dogs").symlink_to(folder / "dog")
    (folder / "dog" / "cats").symlink_to(folder / "cat")
    assert sum(split.size for split in both(folder, tmp_path)) == 60


def test_a_class_may_have_underscores_and_thumbnails_of_a_server_are_left_out(folder, tmp_path):
    save(folder / "__other__" / "0.png")
    save(folder / "cat" / "@eaDir" / "0.png" / "thumb.jpg")
    splits = both(folder, tmp_path)
    assert splits[0].class_names == ("__other__", "cat", "dog")
    assert sum(split.size for split in splits) == 31


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("eel/0.HEIC", "holds 1 pictures that cannot be read, such as 'eel/0.HEIC'; convert them to PNG or JPEG"),
        ("dataset.json", "has a file 'dataset.json', whose labels are not read; its folders are classes"),
    ],
)
def test_pictures_and_labels_that_are_not_read_are_warned_of(folder, tmp_path, caplog, name, words):
    (folder / "eel").mkdir()
    (folder / name).write_bytes(b"...")
    both(folder, tmp_path)
    assert caplog.text.count(words) == 1
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    both(tmp_path / "pictures.zip", tmp_path)
    assert caplog.text.count(words) == 2


@pytest.mark.parametrize("suffix", [".JPG", ".jfif", ".tif", ".gif", ".bmp"])
def test_pictures_of_every_usual_suffix_are_read(folder, tmp_path, suffix):
    before = sum(split.size for split in both(folder, tmp_path))
    save(folder / "cat" / f"more{suffix}", format="JPEG" if suffix == ".jfif" else None)
    (folder / "cat" / "Thumbs.db").write_bytes(b"no picture")
    os.mkfifo(folder / "cat" / "pipe.png")  # which would be waited for
    assert sum(split.size for split in both(folder, tmp_path)) == before + 1


def test_pictures_of_many_sizes_are_cropped_around_the_middle(tmp_path):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 8:22] = 255
    save(tmp_path / "set" / "wide.png", wide)
    save(tmp_path / "set" / "tiny.png", np.full((1, 1), 7, np.uint8))
    found = np.concatenate([split.images for split in both(tmp_path / "set", tmp_path, image_size=5)])
    assert sorted(np.unique(found).tolist()) == [7, 255]
    with pytest.raises(UserError, match=r"'tiny.png' has 1 x 1 pixels and 'wide.png' has 30 x 10; add --image-size 1"):
        load(tmp_path / "set", tmp_path)


def encoded(kind, **how):
    content = io.BytesIO()
    Image.new("RGB", (6, 8)).save(content, kind, **how)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"'bad.webp' cannot be read as a picture \(it is damaged, or none of PNG, JPEG"),
        (b"GIF89a" + b"\0" * 40, "'bad.webp' cannot be read as a picture"),
        (encoded("png")[:-30], "'bad.webp' cannot be read as a picture"),
        (encoded("eps"), r"'bad.webp' cannot be read as a picture \(it is damaged, or none of PNG, JPEG"),  # a program
        (
            encoded("webp", save_all=True, append_images=[Image.new("RGB", (6, 8), "red")]),
            r"'bad.webp' cannot be read as a picture \(it is animated",
        ),
    ],
    ids=["empty", "garbage", "truncated", "PostScript", "animated"],
)
def test_a_bad_picture_is_named(folder, tmp_path, content, words):
    (folder / "dog" / "bad.webp").write_bytes(content)
    with pytest.raises(UserError, match=words.replace("'bad", "'dog/bad")):
        load(folder, tmp_path)
    assert not (tmp_path / "cache").exists()


def test_what_pillow_logs_of_a_picture_that_it_refuses_is_not_printed(folder, tmp_path, monkeypatch, capfd):
    samples_per_pixel = b"\x15\x01\x03\x00\x01\x00\x00\x00"  # tag 277, a short integer
    content = encoded("tiff")
    damaged = content.replace(samples_per_pixel + b"\x03", samples_per_pixel + b"\xd0")
    assert damaged != content
    (folder / "dog" / "bad.tif").write_bytes(damaged)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's, which a command does not have
    with pytest.raises(UserError, match=r"bad.tif' cannot be read"):
        load(folder, tmp_path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("module", "limit", "words"),
    [
        (Image, "MAX_IMAGE_PIXELS", r"'cat/0.png' cannot be read as a picture .* 6 x 8 pixels, more than 40"),
        (picture_files, "MOST_BYTES", "cannot be read as a picture .it has more than 40 bytes"),
    ],
)
def test_a_huge_picture_is_refused_before_it_is_decoded(folder, tmp_path, monkeypatch, module, limit, words):
    monkeypatch.setattr(module, limit, 40)
    with pytest.raises(UserError, match=words):
        load(folder, tmp_path)


def test_a_link_to_nowhere_is_named(folder, tmp_path):
    (folder / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"gone.png' cannot be read \(No such file"):
        load(folder, tmp_path)


def test_a_picture_beside_folders_of_classes_is_named(folder, tmp_path):
    save(folder / "stray.png")
    with pytest.raises(UserError, match=r"has classes such as 'cat', but 'stray.png' is in no class"):
        load(folder, tmp_path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "holds no pictures"),
        (lambda path: save(path / "one.png"), "holds one picture, it must hold two"),
        (lambda path: path.write_text("text"), "holds no images, it must be a folder or a zip"),
        (lambda path: None, r"cannot be read \(No such file or directory\); give a path of pictures, or one of mnist"),
    ],
    ids=["empty", "one", "text", "missing"],
)
def test_a_path_without_pictures_is_refused(tmp_path, make, words):
    make(tmp_path / "set")
    with pytest.raises(UserError, match=words) as error:
        load(tmp_path / "set", tmp_path)
    assert str(error.value).startswith("--data: ")


@pytest.mark.parametrize("image_size", [0, -1, 2**30, 8.0, "8"])
def test_an_image_size_out_of_bounds_is_refused(folder, tmp_path, image_size):
    for read in (
        lambda: load(folder, tmp_path, image_size=image_size),
        lambda: data.stream(folder, image_size=image_size),
    ):
        with pytest.raises(UserError, match=r"^--image-size: .* is not allowed, it must be"):
            read()
