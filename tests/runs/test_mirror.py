"""The folder of a run kept at an address: nothing half is taken for whole, and what cannot be kept there is said."""

import itertools
import json
import shutil
import threading

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jaxgan import cli
from jaxgan.config import Run
from jaxgan.errors import UserError
from jaxgan.fields import local_folder
from jaxgan.runs import address as addresses
from jaxgan.runs import mirror
from jaxgan.runs.address import NAME
from jaxgan.runtime.signals import Interrupted

ADDRESS = "memory://bucket/run"

pytestmark = pytest.mark.usefixtures("bucket")


class Killed(BaseException):
    """Stands for a signal that leaves no time."""


@pytest.fixture
def root():
    """The folder of a run at the address."""
    return local_folder(ADDRESS)


def train_to(root, step, *, name="first"):
    """Writes what a run leaves at a step: rows up to it, and the checkpoints of two steps."""
    shutil.rmtree(root / "checkpoints", ignore_errors=True)
    for saved in (step - 1, step):
        for part in ("default/d/arrays", "commit_success.txt"):
            path = root / "checkpoints" / str(saved) / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} {saved}")
    (root / "checkpoints" / f"{step + 1}.orbax-checkpoint-tmp").mkdir()
    (root / "checkpoints" / f"{step + 1}.orbax-checkpoint-tmp" / "half").touch()
    (root / "config.json").write_text(name)
    (root / "metrics.jsonl").write_text("".join(f"{name} {row}\n" for row in range(1, step + 1)))


def upload(root, *, resume=True):
    with addresses.opened(ADDRESS) as store:
        return addresses.give(store, root, addresses.claim(store, root, resume=resume))


def files_in(root):
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def fetched_elsewhere(tmp_path):
    """The files of the run on a host that has none of them."""
    there = tmp_path / "other host"
    shutil.rmtree(there, ignore_errors=True)
    mirror.fetch(ADDRESS, there)
    return {name: text for name, text in files_in(there).items() if not name.startswith(".")}


def dying(monkeypatch, call):
    """Kills the process before it changes the objects for the so manieth time."""
    calls = itertools.count()
    for name in ("put_file", "pipe_file", "rm"):
        original = getattr(MemoryFileSystem, name)

        def change(self, *args, original=original, **options):
            if next(calls) == call:
                raise Killed
            return original(self, *args, **options)

        monkeypatch.setattr(MemoryFileSystem, name, change)


def test_a_run_comes_back_from_its_address_without_what_is_half_done(root, tmp_path):
    train_to(root, 6)
    upload(root)
    expected = {name: text for name, text in files_in(root).items() if "half" not in name and not name.startswith(".")}
    assert fetched_elsewhere(tmp_path) == expected
    assert len(expected) == 6


@pytest.mark.parametrize("resume", [True, False])
def test_a_kill_at_any_object_leaves_whole_checkpoints_with_their_rows(root, tmp_path, monkeypatch, bucket, resume):
    train_to(root, 3)
    upload(root)
    train_to(root, 7, name="first" if resume else "second")
    before, record = dict(bucket), (root / ".mirror.json").read_text()
    for call in itertools.count():
        bucket.clear()
        bucket.update(before)
        (root / ".mirror.json").write_text(record)
        with monkeypatch.context() as patch:
            dying(patch, call)
            try:
                upload(root, resume=resume)
                done = True
            except Killed:
                done = False
        found = fetched_elsewhere(tmp_path)
        saved = {name.split("/")[1] for name in found if name.startswith("checkpoints/")}
        assert saved in [{"2", "3"}, {"6", "7"}, *([] if resume else [set()])]
        for step in saved:
            texts = [found[f"checkpoints/{step}/{part}"] for part in ("default/d/arrays", "commit_success.txt")]
            assert texts[0] == texts[1] == f"{found['config.json']} {step}"
            assert texts[0] in found["metrics.jsonl"]
        if done:
            break
    assert saved == {"6", "7"}
    assert call > 8
    assert not [path for path in bucket if "/checkpoints/3" in path]


def test_what_a_cut_upload_left_is_deleted_by_the_next(root, bucket, monkeypatch):
    train_to(root, 3)
    upload(root)
    train_to(root, 5)
    with monkeypatch.context() as patch:
        dying(patch, 6)
        with pytest.raises(Killed):
            upload(root)
    assert any("/checkpoints/5" in path for path in bucket)
    train_to(root, 8)
    upload(root)
    assert {path.split("/")[4] for path in bucket if "/checkpoints/" in path} == {"7", "8"}


def while_mirrored(root, work, *, resume=True):
    """Does some work of a run that the address follows."""
    with mirror.mirrored(Run(workdir=root, mirror=ADDRESS), resume=resume) as offer:
        work(offer)


def offered(root, step, offer):
    """Offers a checkpoint, and waits until it is uploaded or not."""
    train_to(root, step)
    offer()
    wait_for_uploads()


def test_an_earlier_run_ends_where_another_begins(root, tmp_path):
    train_to(root, 3)
    upload(root)
    other = tmp_path / "other host"

    def goes_on(offer):
        mirror.fetch(ADDRESS, other)
        while_mirrored(other, lambda offer: None)
        offered(root, 5, offer)
        offer()

    with pytest.raises(OSError, match=r"no longer belongs to this run, another run on .* started later"):
        while_mirrored(root, goes_on)
    assert "checkpoints/5/commit_success.txt" not in fetched_elsewhere(tmp_path)


def test_an_address_that_another_run_wrote_to_just_now_is_refused(root, tmp_path):
    mirror.fetch(ADDRESS, root)
    train_to(other := tmp_path / "other host", 3)
    upload(other)
    train_to(root, 1)
    with pytest.raises(UserError, match="'memory://bucket/run' is in use by another run"):
        upload(root)


def test_uploads_that_fail_are_said_once_tried_again_and_end_in_one_line(root, tmp_path, monkeypatch, caplog):
    def refuse(self, *args, **options):
        raise PermissionError("no right to write")

    def goes_on(offer):
        with monkeypatch.context() as patch:
            patch.setattr(MemoryFileSystem, "put_file", refuse)
            offered(root, 3, offer)
            offered(root, 5, offer)
        offered(root, 7, offer)
        assert "checkpoints/7/commit_success.txt" in fetched_elsewhere(tmp_path)
        monkeypatch.setattr(MemoryFileSystem, "put_file", refuse)
        train_to(root, 9)

    train_to(root, 2)
    with pytest.raises(OSError, match=r"cannot be written \(no right to write\); all files are in '.*'"):
        while_mirrored(root, goes_on)
    assert caplog.text.count("cannot be written (no right to write); training continues") == 1


def test_a_folder_ahead_of_its_address_goes_on_and_catches_up(root, tmp_path):
    train_to(root, 3)
    upload(root)
    train_to(root, 6)
    mirror.fetch(ADDRESS, root)
    assert (root / "checkpoints" / "6").exists()
    mirror.fetch(ADDRESS, root, give=True)
    assert "checkpoints/6/commit_success.txt" in fetched_elsewhere(tmp_path)


def test_an_upload_that_hangs_does_not_hold_up_a_run_that_is_stopped(root, monkeypatch, caplog):
    def is_stopped(offer):
        raise Interrupted(15, 3)

    monkeypatch.setattr(mirror, "AT_A_STOP", 0.05)
    answer = threading.Event()
    monkeypatch.setattr(MemoryFileSystem, "put_file", lambda *args, **options: answer.wait(20))
    train_to(root, 3)
    with pytest.raises(Interrupted):
        while_mirrored(root, is_stopped)
    answer.set()
    wait_for_uploads()
    assert f"{ADDRESS!r} does not respond; all files are in {str(root)!r}" in caplog.text


def test_a_folder_removed_under_the_run_removes_nothing_at_the_address(root, tmp_path):
    def is_removed(offer):
        offered(root, 5, offer)
        shutil.rmtree(root)

    train_to(root, 3)
    with pytest.raises(OSError, match="was removed, moved or replaced"):
        while_mirrored(root, is_removed)
    assert "checkpoints/5/commit_success.txt" in fetched_elsewhere(tmp_path)


def test_an_emptied_address_starts_again_and_empties_no_user_folder(root, tmp_path, bucket):
    mine = tmp_path / "mine"
    for folder in (root, mine):
        train_to(folder, 3)
        upload(folder)
        bucket.clear()
    assert mirror.fetch(ADDRESS, root) is None
    assert not (root / "config.json").exists()
    with pytest.raises(UserError, match=r"--mirror: 'memory://bucket/run' does not hold the run of '.*mine'"):
        mirror.fetch(ADDRESS, mine)
    assert (mine / "config.json").exists()


HELD = {"token": "t", "host": "h"}


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps(HELD | {"files": {"../../x": ""}}), '{"token": 1}'])
def test_a_damaged_or_foreign_list_of_files_is_refused(root, bucket, text):
    MemoryFileSystem().pipe_file(f"/bucket/run/{NAME}", text.encode())
    with pytest.raises(UserError, match=r"mirror.json at 'memory://bucket/run' is damaged"):
        mirror.fetch(ADDRESS, root)


@pytest.mark.parametrize("command", ["evaluate", "sample", "figures"])
def test_a_command_says_that_no_run_is_at_an_address(command, refused):
    line = refused(cli.main, command, ADDRESS)
    assert line == f"jaxgan: error: {ADDRESS!r}: there is no run at this address\n"


def wait_for_uploads():
    """Waits for the threads that upload."""
    for thread in threading.enumerate():
        if getattr(thread, "_target", None) is not None and thread._target.__name__ == "_upload":
            thread.join()
