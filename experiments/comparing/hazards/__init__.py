"""Hazards of hidden state: mistakes that are easily made in one design or the other, and what comes of them.

Each hazard has runnable pairs in both designs (:class:`comparing.hazards.pairs.Pair`): a program as it should be, and
with one mistake. The design in which a mistake cannot be made shows the nearest attempt, and its own way to fall into
the same trap where there is one.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from comparing.designs import FUNCTIONAL, PYTORCH
from comparing.hazards import functional_gradients, functional_state, functional_tracing
from comparing.hazards.pairs import Pair, Setting, observe
from comparing.hazards.report import section, summary
from comparing.options import Options
from jaxgan import data

__all__ = ["HAZARDS", "Hazard", "measure", "observed", "pairs", "section", "summary"]


class Hazard(NamedTuple):
    """What goes wrong, in a few words and in a sentence."""

    title: str
    mistake: str


HAZARDS: Mapping[str, Hazard] = MappingProxyType(
    {
        "zero_grad": Hazard(
            "Forgotten zero_grad", "Gradients of earlier passes stay in the parameters and are added to the next."
        ),
        "detach": Hazard(
            "Forgotten detach",
            "The discriminator's loss sends its gradient on into the generator, with the wrong sign.",
        ),
        "eval": Hazard(
            "Forgotten eval()", "A measurement runs in training mode, or training goes on in evaluation mode."
        ),
        "statistics": Hazard(
            "Batch statistics moved by a sampling pass",
            "A look at samples in training mode, without gradients, shifts the running statistics.",
        ),
        "stream": Hazard(
            "Global random numbers advanced by an innocent call",
            "One sample, drawn for a look, takes numbers from the stream that training draws from.",
        ),
        "key": Hazard("A key or seed used again", "Noise that should be fresh is that of another step."),
        "closure": Hazard(
            "Stale closure, live snapshot",
            "A function kept from before training draws with old weights, or weights kept from then are the new ones.",
        ),
        "tracer": Hazard(
            "Leaked tracer, leaked graph",
            "A value is carried out of the program that computes it, with all it hangs on.",
        ),
    }
)


def pairs(design: str) -> Mapping[str, Sequence[Pair]]:
    """Collects a design's pairs.

    Args:
      design: functional or PyTorch, one of `designs.DESIGNS`.

    Returns:
      The pairs of each hazard, by its name in HAZARDS; none where PyTorch is not installed.
    """
    if design == FUNCTIONAL:
        sources = (functional_state.PAIRS, functional_gradients.PAIRS, functional_tracing.PAIRS)
    elif importlib.util.find_spec("torch"):
        from comparing.hazards import imperative_gradients, imperative_state

        sources = (imperative_gradients.PAIRS, imperative_state.PAIRS)
    else:
        sources = ()
    return {name: [pair for source in sources for pair in source.get(name, ())] for name in HAZARDS}


def observed(setting: Setting, *, designs: Sequence[str] = (FUNCTIONAL, PYTORCH)) -> dict[str, Any]:
    """Runs all pairs.

    Args:
      setting: what they are run on.
      designs: which of the two.

    Returns:
      Hazard by hazard ``title``, ``mistake``, and ``observed``: by design what each pair showed, see
      :func:`comparing.hazards.pairs.observe`.
    """
    of = {design: pairs(design) for design in designs}
    return {
        name: {
            **hazard._asdict(),
            "observed": {design: [observe(pair, setting) for pair in of[design][name]] for design in designs},
        }
        for name, hazard in HAZARDS.items()
    }


def measure(options: Options) -> dict[str, Any]:
    """Runs all pairs on MNIST.

    Args:
      options: how many threads there are, and where the data lie.

    Returns:
      ``setting``, in words, and ``hazards``, see :func:`observed`.
    """
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(options.threads)
    setting = Setting(data.load("mnist", data_dir=options.data_dir).images, steps=options.steps)
    about = f"{setting.steps} steps of {setting.batch_size} images of MNIST, seed {setting.seed}; a look every "
    about += f"{setting.look_every} steps; batch statistics in a DCGAN of width {setting.width}, all else in the "
    return {"setting": f"{about}vanilla GAN", "hazards": observed(setting)}
