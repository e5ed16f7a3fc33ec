"""What a generative method is to the rest of the program: a few pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from jaxgan.methods.exhibits import Exhibit

Metrics = dict[str, Float[Array, ""]]
Pixels = UInt8[np.ndarray, "n height width channels"]


class Batch(NamedTuple):
    """The examples of one step that lie on one device."""

    images: Float[Array, "batch height width channels"]  # in [-1, 1]
    labels: Int[Array, " batch"]
    index: Int[Array, " batch"]  # each example's position in the global batch: what its noise depends on


class Method(NamedTuple):
    """A generative method: a run is a fold of ``step`` over batches, starting from ``init``.

    It is to generative models what ``optax.GradientTransformation(init, update)`` is to optimizers. The last three
    functions are for methods that can be held against images they were not trained on; None where there is nothing to
    say.

    Attributes:
      init: from a key to the state, one pytree that holds everything that trains. It has an integer leaf ``step``.
      step: from (state, batch, key) to the next state and the step's metrics, with no side effects. The same (state,
        batch, key) give the same result; on several devices it averages over the axis the method was built for.
      sample: from (state, key, count) to images in [-1, 1], in evaluation mode. The same key gives the same latents,
        so one row of digits can be followed through training. None for a classifier, which draws nothing.
      evaluate: from (state, batch, key) to metrics of held-out images, means over the batch, in evaluation mode.
      baseline: from the bytes of the training and the held-out images to what an independent method reaches on the
        latter, under names of its own beside those of ``evaluate``.
      exhibits: from (state, held-out examples, key) to what there is to see of a trained model besides its samples, by
        name.
      sampled_labels: from count to the classes that as many samples were asked for, the same in each call of
        ``sample``; None if its images are of no particular class.
    """

    init: Callable[[Key[Array, ""]], Any]
    step: Callable[[Any, Batch, Key[Array, ""]], tuple[Any, Metrics]]
    sample: Callable[[Any, Key[Array, ""], int], Float[Array, "count height width channels"]] | None
    evaluate: Callable[[Any, Batch, Key[Array, ""]], Metrics] | None = None
    baseline: Callable[[Pixels, Pixels], dict[str, float]] | None = None
    exhibits: Callable[[Any, Batch, Key[Array, ""]], dict[str, Exhibit]] | None = None
    sampled_labels: Callable[[int], Int[Array, " count"]] | None = None
