import importlib

import pytest

MISTAKES = {
    "ablation": {"--rows ful": "did you mean 'full'?", "--epochs 0": "--epochs: 0 is not allowed"},
    "accelerator": {
        "--parts rigth": "did you mean 'right'",
        "--methods dcgn": "did you mean 'dcgan'",
        "--seconds 0": "--seconds: 0.0 is not allowed",
    },
    "aot.compile_for": {
        "--target v5:2x2": "'v5' is not known, choose from tpu7x, v4, v5e, v5p, v6e; did you mean 'v5p'?",
        "--target v5e": "--target: 'v5e' is not allowed, v5e needs a slice shape, such as v5e:2x2",
        "--target v5e:2x2x2": "v5e needs a slice shape, such as v5e:2x2",
        "--target v4:2x2": "--target: 'v4:2x2' is not allowed, v4 needs a slice shape, such as v4:2x2x1",
        "--recipes dcgna": "did you mean 'dcgan'?",
        "--replicas 1": "--replicas: 1 is not allowed, it must be at least 2",
        "--effort 2": "--effort: 2.0 is not allowed, it must be between -1 and 1",
    },
    "design.compare": {
        "--methods dcgn": "did you mean 'dcgan'",
        "--parts hazard": "did you mean 'hazards'",
        "--methods": "--methods: none given",
        "--steps 0": "--steps: 0",
        "--wrong": "--wrong",
    },
    "faults": {"--recipes dcgam": "--recipes: 'dcgam' is not known"},
    "likelihood": {"--models vea": "--models: 'vea' is not known"},
    "long_run": {"--steps 2500": "--steps: 2500 is not allowed, it must be a multiple of 1000"},
    "mutations": {"--only nothing": "--only: 'nothing' is in no name, choose from sign of a loss"},
    "quality": {
        "--methods dcgam": "--methods: 'dcgam' is not known",
        "--samples 5": "--samples: 5 images are not allowed",
    },
    "replicas": {
        "--methods gan": "--methods: 'gan' is not known",
        "--counts 1": "--counts: 1 is not allowed, give numbers from 2 on",
        "--counts": "--counts: none is not allowed",
        "--threads 999": "--threads: 999 is not allowed",
    },
    "speed.benchmark": {
        "--methods vae dcgn": "did you mean 'dcgan'",
        "--threads 0": "--threads: 0 is not allowed",
        "--repeats 0": "--repeats: 0 is not allowed, it must be at least 1",
        "--widths 0": "--width: 0 is not allowed",
        "--seconds nan": "--seconds: nan is not allowed",
    },
    "stacked_mnist": {"--samples 0": "--samples: 0 images are not allowed", "--epochs 0": "--epochs: 0 is not allowed"},
    "twins_quality": {"--methods wgan": "--methods: 'wgan' is not known", "--seeds 0": "--seeds: 0 is not allowed"},
}


@pytest.mark.parametrize(("study", "flags"), [(study, flags) for study, found in MISTAKES.items() for flags in found])
def test_a_mistake_costs_one_line_and_nothing_on_disk(study, flags, refused, tmp_path):
    if study in ("design.compare", "twins_quality"):
        pytest.importorskip("torch")
    main = importlib.import_module(f"studies.{study}").main
    assert MISTAKES[study][flags] in refused(main, *flags.split(), "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
