import json
import os
import re
import time

import jax
import numpy as np
import pytest
from studies import accelerator
from studies.chip import fast, report, right, worker
from studies.chip.recipes import Setting
from studies.chip.worker import Done, Failed, Row, Task

CARD = {"cards": {"an abacus": {"machine": "a desk", "command": "python accelerator.py"}}, "done": [], "rows": []}


def rows(count, *, then):
    """A measurement that gives rows, and then fails, hangs, dies or ends."""
    yield from (Row("calls", {"number": i}, {"XLA_FLAGS": os.environ["XLA_FLAGS"]}) for i in range(count))
    {"fails": lambda: 1 / 0, "hangs": lambda: time.sleep(60), "dies": lambda: os.abort(), "ends": lambda: None}[then]()


@pytest.fixture(scope="module")
def answered():
    """What comes of tasks of every kind, one after the other, by the number of the task."""
    thens = ("ends", "fails", "hangs", "dies", "ends", "ends", "ends")
    flags = {5: "--xla_gpu_autotune_level=4"}
    made = [Task("right", str(i), rows, {"count": i, "then": then}, flags.get(i, "")) for i, then in enumerate(thens)]

    def until(task):
        now = time.monotonic()
        return now + 100 * (task.name != "6"), now + (3 if task.arguments["then"] == "hangs" else 100)

    found = [[] for _ in thens]
    for task, answer in worker.answers(made, until=until):
        found[int(task.name)].append(answer)
    return found


@pytest.mark.exhaustive
def test_a_task_that_fails_dies_or_hangs_costs_no_other(answered):
    done, failed, hung, died, next_one, with_flags, left_out = (answers[-1] for answers in answered)
    assert {type(each) for each in (done, next_one, with_flags)} == {Done}
    assert failed == Failed("ZeroDivisionError: division by zero")
    assert hung == worker.STOPPED
    assert "ended with code -" in died.why
    assert left_out == Failed("no time was left")


@pytest.mark.exhaustive
def test_rows_before_a_failure_are_kept_and_flags_reach_the_process(answered):
    kept = [[answer.values["XLA_FLAGS"] for answer in answers[:-1]] for answers in answered]
    assert [len(each) for each in kept] == [0, 1, 2, 3, 4, 5, 0]
    assert ["autotune_level" in flags for flags in (kept[4][0], kept[5][0])] == [False, True]


def test_rows_of_equal_keys_become_one_and_cards_stay_apart():
    results = {"cards": {}, "done": [], "rows": []}
    for card, value in (("a", {"x": 1}), ("a", {"y": 2}), ("b", {"x": 3}), ("a", {"x": 4})):
        report.add(results, card, Row("speed", {"method": "dcgan"}, value))
    assert [(row["card"], row["values"]) for row in results["rows"]] == [("a", {"x": 4, "y": 2}), ("b", {"x": 3})]


def test_the_report_relates_speed_to_what_the_card_can_do(tmp_path):
    results = json.loads(json.dumps(CARD))
    key = {"method": "dcgan", "images per step": 64, "precision": "default", "program": "jaxgan"}
    for row in (
        Row("ceilings", {"ceiling": "matrix product, default"}, {"TFLOP/s": 50.0}),
        Row("ceilings", {"ceiling": "copy"}, {"GB/s": 2000.0}),
        Row("speed", key, {"steps/s": 1234.5, "TFLOP/s": 5.0, "GB/s": 500.0}),
        Row("problems", {"task": "fast steps vae"}, {"reason": "ended | with code -6"}),
    ):
        report.add(results, "an abacus", row)
    text = report.write(results, tmp_path).read_text()
    assert "| dcgan | 64 | default | jaxgan | 1,234 | 5.00 | 500 | 10.0 | 25.0 |" in text
    assert "ended \\| with code -6" in text
    assert report.read(tmp_path / "results.json") == results
    report.forget_problem(results, "an abacus", "fast steps vae")
    assert "Without a result" not in report.markdown(results)


def test_parts_share_the_time_in_the_order_given():
    ends = accelerator.part_ends(("good", "fast"), 100.0, 65.0)
    assert ends == {"good": 125.0, "fast": pytest.approx(165.0)}


def test_each_task_has_its_own_name_and_a_table():
    listed = accelerator.tasks(accelerator.Options(), "gpu")
    assert len({task.name for task in listed}) == len(listed) > 60
    assert {task.part for task in listed} == set(accelerator.PARTS)
    assert [task for task in listed if task.flags and task.flags not in task.arguments.values()] == []


def test_equal_steps_are_no_distance_apart_and_others_are():
    tree = {"a": np.array([3.0, 4.0])}
    assert right.apart(tree, tree) == 0
    assert right.apart({"a": np.array([3.0, 4.5])}, tree) == pytest.approx(0.1)
    assert right.metrics_apart({"x": 1.1, "y": 0.001}, {"x": 1.0, "y": 0.0}) == pytest.approx(0.1)


def test_the_optimizer_of_the_comparison_keeps_the_gradients():
    optimizer, params = right.recording(), {"w": np.ones(3, np.float32)}
    gradients = {"w": np.array([1.0, -2.0, 3.0], np.float32)}
    updates, state = optimizer.update(gradients, optimizer.init(params), params)
    np.testing.assert_array_equal(state[1]["w"], gradients["w"])
    np.testing.assert_allclose(updates["w"], -1e-3 * np.sign(gradients["w"]), rtol=1e-4)


@pytest.mark.exhaustive
def test_the_adjoint_pair_is_right_here_and_a_broken_one_is_seen(monkeypatch):
    found = [row.values for row in right.convolutions(Setting(small=True))]
    assert max(max(values.values()) for values in found) < 1e-5
    monkeypatch.setattr(right, "LAYERS", {"4 to 1": right.LAYERS["4 to 1"]})
    monkeypatch.setattr(right, "weight_gradient", lambda x, y, **how: 1.01 * jax.numpy.ones((4, 4, 128, 1)))
    (broken,) = right.convolutions(Setting(small=True))
    assert broken.values["adjoint"] > 1e-3


def test_each_form_of_convolution_is_another_program():
    def up_and_down(y, w):
        how = {"strides": (2, 2), "padding": (1, 1)}
        return fast.bilinear.convolution(fast.bilinear.transposed_convolution(y, w, **how), w, **how)

    arrays = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((2, 7, 7, 5), (4, 4, 4, 5))]
    texts = []
    for patched in fast.patches().values():
        with patched:
            texts.append(str(jax.make_jaxpr(lambda y, w: up_and_down(y, w))(*arrays)))  # traced anew
    assert ["custom_vjp" in text for text in texts] == [True, True, False]
    assert ["platform_index" in text for text in texts] == [True, False, True]


def test_a_machine_without_an_accelerator_is_told_of_small(monkeypatch, refused, tmp_path):
    monkeypatch.setattr(worker, "identify", lambda: {"card": "cpu", "platform": "cpu", "machine": "a desk"})
    line = refused(accelerator.main, "--out", tmp_path / "out")
    assert "JAX finds no GPU or TPU here; add --small" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.exhaustive
def test_a_platform_that_is_not_here_is_one_line(monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(SystemExit) as ended:
        accelerator.main(["--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "JAX_PLATFORMS: 'cuda' gives no device" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.exhaustive
def test_a_whole_small_run_leaves_a_report_to_which_a_second_adds(mnist_dir, tmp_path, monkeypatch):
    every, left_out = accelerator.tasks, re.compile("bytes .* 2|float|first steps")
    monkeypatch.setattr(accelerator, "tasks", lambda *args: [t for t in every(*args) if not left_out.search(t.name)])
    flags = ["--small", "--methods", "vanilla_gan", "--data-dir", str(mnist_dir), "--out", str(tmp_path)]
    accelerator.main([*flags, "--seconds", "400"])
    first = report.read(tmp_path / "results.json")
    assert {row["table"] for row in first["rows"]} == set(report.TABLES) - {"first steps", "flags", "forms", "problems"}
    began = time.monotonic()
    accelerator.main([*flags, "--parts", "good", "right"])
    assert time.monotonic() - began < 60
    assert report.read(tmp_path / "results.json")["rows"] == first["rows"]
    assert (tmp_path / "report.md").read_text().count("| vanilla_gan |") > 8
