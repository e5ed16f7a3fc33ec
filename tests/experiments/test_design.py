import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")

from studies import figures
from studies.design import compare, resuming, trajectories
from studies.design.hazards import FUNCTIONAL, IMPERATIVE, Outcome, forgotten_detach
from studies.design.resuming import NNX

from jaxgan.config import Config, Run
from jaxgan.methods.vanilla_gan import VanillaGAN

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
IMAGES = np.random.default_rng(0).integers(0, 256, (80, 28, 28, 1), dtype=np.uint8)
SMALL = Config(VanillaGAN(latent_size=3, hidden_units=4), Run(batch_size=8))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    pytest.importorskip("torch").set_num_threads(1)  # threads that spin suffer from other tests


@pytest.mark.exhaustive
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_both_designs_lose_alike_and_the_precision_shows(precision):
    found = trajectories.side_by_side(SMALL, IMAGES, precision, steps=3)
    ours, theirs = found["losses"]["discriminator_loss"]
    assert len(ours) == len(theirs) == len(found["apart"]) == 3
    if precision == "float64":
        assert max(found["apart"]) < 1e-12
    else:
        assert 1e-12 < max(found["apart"]) < 1e-3
    assert 0 < found["weights"] < 1e-2


def expect_exact_resumption(found: dict, saved: set[str], needed: str) -> None:
    """Everything leads to the same bytes, and training misses the item that it needs."""
    assert found["resumed"] == []
    assert found["bytes"].keys() == {"parameters", "optimizer state", "step", "sums of metrics", *saved}
    assert found["without"].keys() == found["bytes"].keys() - {"parameters"}
    assert found["without"]["sums of metrics"] == {"differs": ["sums of metrics"], "weights": 0.0}
    assert {"parameters", "optimizer state"} <= set(found["without"][needed]["differs"])
    assert found["without"][needed]["weights"] > 1e-4


@pytest.mark.exhaustive
def test_the_functional_run_needs_no_random_state_to_resume():
    found = resuming.compare(resuming.functional(SMALL, IMAGES))
    expect_exact_resumption(found, set(), "step")
    assert found["bytes"]["step"] == 4


@pytest.mark.exhaustive
def test_the_twin_in_pytorch_needs_random_state_and_order_to_resume():
    found = resuming.compare(resuming.pytorch(SMALL, IMAGES))
    expect_exact_resumption(found, {"random state", "order of the data"}, "random state")
    assert found["without"]["order of the data"]["weights"] > 1e-4


@pytest.mark.exhaustive
def test_the_twin_in_nnx_needs_its_random_state_to_resume():
    config = Config(VanillaGAN(), Run(batch_size=8))
    found = resuming.compare(resuming.nnx(config, IMAGES))
    expect_exact_resumption(found, {"random state"}, "random state")


@pytest.mark.parametrize(
    ("path", "item"),
    [
        (".state.generator.params['hidden_0']['kernel']", "parameters"),
        (".state.generator.batch_stats['norm_1']['mean']", "batch statistics"),
        (".state.generator.opt_state[0].count", "optimizer state"),
        (".state.averaged['hidden_0']['kernel']", "averaged parameters"),
        (".state.step", "step"),
        (".metric_sums['generator_loss']", "sums of metrics"),
        (".count", "sums of metrics"),
        ("['twin']['discriminator.norm_1.running_var']", "batch statistics"),
        ("['optimizers']['generator_optimizer']['state'][0]['step']", "optimizer state"),
        ("['twin']['discriminator']['dropout']['rngs']['count']", "random state"),
        ("['twin']['generator']['norm_1']['mean']", "batch statistics"),
        ("['twin']['generator']['norm_1']['scale']", "parameters"),
        ("['random']", "random state"),
        ("['shuffler']", "order of the data"),
        ("['options']['seed']", "settings"),
    ],
)
def test_an_array_belongs_to_the_item_that_its_path_names(path, item):
    assert resuming.item_of(path) == item


def test_an_item_left_out_begins_as_in_a_fresh_run_or_at_zero():
    state = {"step": 7, "sums": {"loss": jnp.ones(2)}, "twin": {"w": jnp.full(2, 3.0)}}
    fresh = {"step": 0, "sums": {}, "twin": {"w": jnp.zeros(2)}}
    assert resuming.leave_out(state, fresh, "step")["step"] == 0
    assert not resuming.leave_out(state, fresh, "sums of metrics")["sums"]["loss"].any()
    assert resuming.leave_out(state, fresh, "step")["twin"]["w"].all()
    assert resuming.differing(state, {**state, "step": 8}) == ["step"]
    moved = {**state, "twin": {"w": jnp.asarray([3.0, 0.0])}}
    assert resuming.distance(state, moved) == pytest.approx(1.0)


def fabricated() -> dict:
    losses = {"discriminator_loss": [[2.0, 1.0], [2.0, 1.5]], "gradient_penalty": [[0.0, 0.0], [0.0, 0.0]]}
    apart = {"float64": [0.0, 1e-15], "float32": [0.0, 0.25]}
    course = {p: {"losses": losses, "apart": values, "weights": 0.125} for p, values in apart.items()}
    exact = {
        "bytes": {"step": 4, "parameters": 4000},
        "resumed": [],
        "without": {"step": {"differs": [], "weights": 0.5}},
    }
    broken = {**exact, "resumed": ["parameters"], "bytes": {**exact["bytes"], "random state": 5056}}
    runs = {"loss of D": np.array([1.0, 3.0])}
    outcome = Outcome(IMPERATIVE, "silent", runs, {"loss of D": np.array([2.0, 4.0])}, "-right\n+wrong")
    raised = Outcome(FUNCTIONAL, "raises KeyError", runs, {}, "-right\n+wrong")
    return {
        "trajectories": {"vae": course, "dcgan": course},
        "resuming": {"vae": {FUNCTIONAL: exact, IMPERATIVE: broken}, "dcgan": {FUNCTIONAL: exact, NNX: exact}},
        "hazards": [(forgotten_detach, [outcome, raised])],
    }


def test_the_report_begins_with_a_table_and_two_figures_and_folds_details():
    text = compare.report(fabricated())
    summary, *sections = text.split("\n## ")
    assert f"| | {FUNCTIONAL} | {IMPERATIVE} | {NNX} |" in summary.replace("|  |", "| |")
    assert "| losses of 2 steps, float32 | at most 2e-01 apart | at most 2e-01 apart |" in summary
    assert "| resumed: the same bytes as without a stop | 2 of 2 methods | 0 of 1 methods | 1 of 1 methods |" in summary
    assert "| saved beside weights and statistics | step | random state, step | step |" in summary
    assert "| 1 mistakes with hidden state | 1 with an error | 1 silent |" in summary
    assert "(trajectories.png)" in summary
    assert "(hazards.png)" in summary
    titles = ["The same training", "Resuming", "Mistakes with hidden state", "From one device to two"]
    assert [section.partition("\n")[0] for section in sections] == titles
    assert text.count("<details>") == text.count("</details>") == 3
    shown = "".join(part.partition("</details>")[2] for part in text.split("<details>"))
    assert "1.2e-01" not in shown
    assert "| vae | float32 | 2.5e-01 | 1.2e-01 |" in text.replace("0.0e+00 | ", "")
    assert "*raises KeyError* | *silent*: loss of D 2.00 → 3.00, 1.00 apart |" in text
    assert "# imperative PyTorch: silent\n-right\n+wrong" in text


def test_links_of_the_report_lead_to_the_hazards_from_the_gallery():
    text = compare.report(fabricated())
    for target in ("../../studies/design/hazards/forgotten_detach.py", "../../imperative/distributed"):
        assert f"({target})" in text
        assert (EXPERIMENTS / "gallery" / "design" / target).resolve().exists()


def test_two_trajectories_share_an_axis_and_a_zero_difference_leaves_a_gap():
    pair = figures.Pair({"loss": ([3.0, 2.0, 1.0], [3.0, 2.0, 1.5])}, {"float32": [0.0, 1e-7, 1e-3]})
    figure = figures.trajectories({"A": pair, "B": pair}, names=("ours", "theirs"), title="Toy")
    above, other, below, _ = figure.axes
    assert [axes.get_title() for axes in (above, other)] == ["A", "B"]
    assert [list(line.get_ydata()) for line in above.lines] == [[3, 2, 1], [3, 2, 1.5]]
    assert (below.get_yscale(), below.get_xlabel(), below.get_ylabel()) == ("log", "step", "relative difference")
    np.testing.assert_array_equal(below.lines[0].get_ydata(), [np.nan, 1e-7, 1e-3])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "theirs", "difference in float32"]


def test_outcomes_stand_under_their_mistake_a_row_per_design():
    right, wrong = [1.0, 2.0, 3.0], [1.0, 2.5, 2.0]
    outcome = figures.Outcome("loss", right, wrong, "silent")
    panels = {f"Mistake {i}": {"A": outcome, "B": outcome._replace(wrong=[], note="raises")} for i in range(3)}
    figure = figures.outcomes(panels, columns=2, title="Toy")
    grid = np.array(figure.axes).reshape(4, 2)
    assert [axes.get_title() for axes in grid[:, 0]] == ["Mistake 0", "", "Mistake 2", ""]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["A", "B", "A", "B"]
    assert [list(line.get_ydata()) for line in grid[0, 1].lines] == [right, wrong]
    assert [list(line.get_ydata()) for line in grid[3, 0].lines] == [right, []]
    assert [axes.texts[0].get_text() for axes in grid[2:, 0]] == ["silent", "raises"]
    assert [axes.get_visible() for axes in grid[2]] == [True, False]


def test_without_torch_the_command_says_in_one_line_what_to_install():
    script = str(EXPERIMENTS / "studies" / "design" / "compare.py")
    program = f"import runpy, sys; sys.modules['torch'] = None; runpy.run_path({script!r}, run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "error: PyTorch is not installed; run python -m pip install -e '.[imperative]'\n"


@pytest.mark.exhaustive
def test_the_command_writes_a_report_with_its_figures(mnist_dir, tmp_path, capsys):
    flags = ["--methods", "vanilla_gan", "--parts", "trajectories", "hazards", "--steps", "2"]
    compare.main([*flags, "--data-dir", str(mnist_dir), "--out", str(tmp_path)])
    names = {"report.md", "trajectories.png", "hazards.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert (tmp_path / "report.md").read_text() in capsys.readouterr().out


def test_the_patches_for_two_devices_fit_the_twins(tmp_path):
    twins = tmp_path / "imperative"
    shutil.copytree(EXPERIMENTS / "imperative", twins, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("training", "batch_norm"):
        patch = twins / "distributed" / f"{name}.patch"
        subprocess.run(["git", "apply", str(patch)], cwd=tmp_path, check=True, capture_output=True)
    assert "dist.init_process_group(" in (twins / "training.py").read_text()
    for path in twins.glob("*.py"):
        compile(path.read_text(), str(path), "exec")
