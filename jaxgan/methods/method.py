"""The interface of a method: a few pure functions over one pytree."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from jaxgan.errors import UserError
from jaxgan.nn import noise
from jaxgan.nn.layers import to_float32

ROWS_BY_CLASS = 10  # maximum number of rows

Metrics = dict[str, Float[Array, ""]]
Pixels = UInt8[np.ndarray, "n height width channels"]
Images = Float[Array, "batch height width channels"]
State = Any  # a pytree with the members of MethodState


class Batch(NamedTuple):
    """The examples of one step on one device."""

    images: Images  # in [-1, 1]
    labels: Int[Array, " batch"]
    index: Int[Array, " batch"]  # pyright: ignore[reportIncompatibleMethodOverride]  # position of each example in the global batch, which determines its noise


class Rows(NamedTuple):
    """Rows of images to compare, all of the same length."""

    title: str
    rows: Mapping[str, Float[Array, "columns height width channels"]]  # in [-1, 1], by the label of the row


class Sheet(NamedTuple):
    """A grid of images whose positions have a meaning, row by row."""

    title: str
    images: Float[Array, "count height width channels"]  # in [-1, 1]
    columns: int


class Plane(NamedTuple):
    """Points in the plane of two latents, by class."""

    title: str
    points: Float[Array, "n 2"]
    labels: Int[Array, " n"]


Visualization = Rows | Sheet | Plane


def rows_by_class(draw: Callable[[int], Images], classes: int, *, latents: str = "latents") -> Rows:
    """Draws a row of samples for each class, at most ten.

    Args:
      draw: from a class to its samples, with the same latents for every class.
      classes: number of classes.
      latents: name of the latents in the title.

    Returns:
      The rows, by class index.
    """
    rows = {str(label): draw(label) for label in range(min(classes, ROWS_BY_CLASS))}
    return Rows(f"Samples by class, each column from the same {latents}", rows)


def conditioned(conditional: bool, classes: int) -> int:
    """Returns the number of classes to condition on, 0 if unconditional; raises UserError if the images have none."""
    if conditional and classes < 2:
        raise UserError("--conditional: the images have no classes, omit it or choose other --data")
    return classes if conditional else 0


@runtime_checkable
class Module(Protocol):
    """A Flax module as methods use it: ``apply`` returns outputs, or with ``mutable`` outputs and new variables."""

    def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any:
        """Draws the variables."""
        ...

    def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
        """Applies the module to variables and inputs."""
        ...


class Network(NamedTuple):
    """A Flax module and the shape of one example of its input."""

    module: Module
    input_shape: tuple[int, ...]


class Generator(NamedTuple):
    """A trained function from latents, and labels if conditional, to images; an export writes it."""

    name: str  # name of the network
    latent_size: int
    prior: noise.Prior  # the distribution that samples draw latents from
    truncation: float  # factor on the latents of samples, except the first ``prior.fixed``
    classes: int  # number of classes; 0 if unconditional
    images: Callable[..., Images]  # from latents [batch, latent_size] and labels [batch] to [-1, 1], evaluation mode


class Likelihood(NamedTuple):
    """An estimate of the log-likelihood of images, by importance sampling."""

    estimate: Callable[..., Float[Array, " batch"]]  # from (state, batch, key, samples) to nats per image
    samples: int  # default number of latents per image


class MethodConfig(Protocol):
    """The interface of a method's config: a frozen dataclass of plain fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def title(self) -> str:
        """The name in figures."""
        ...

    @property
    def compute_dtype(self) -> str:
        """The dtype of matrix products."""
        ...


class Method(NamedTuple):
    """A generative method: a run is a fold of ``step`` over batches, starting from ``init``.

    It is to generative models what ``optax.GradientTransformation(init, update)`` is to optimizers. All functions but
    ``step`` run on one device, even if ``step`` averages over a mapped axis.

    Attributes:
      init: from a key to the state, one pytree of everything that trains; see :class:`MethodState`.
      step: from (state, batch, key) to the next state and the metrics of the step; deterministic, without side effects.
        On several devices it averages over the axis that the method was built for.
      sample: from (state, key, count) to images in [-1, 1], in evaluation mode. The same key gives the same latents,
        so one row of digits can be followed through training. If conditional, it also takes the label of each image;
        by default these cycle through the classes. None for a classifier.
      evaluate: from (state, batch, key) to metrics of held-out images, means over the batch, in evaluation mode.
      baseline: from uint8 training and held-out images to the metrics of an independent method on the latter.
      likelihood: an estimate of the log-likelihood of held-out images.
      visualize: from (state, held-out examples, key) to visualizations of the state, by name.
      classes: number of classes that ``sample`` accepts; 0 if unconditional.
      generator: from the state to the trained function that ``jaxgan export`` writes.
      networks: the networks of the method, by name.
      auxiliary: names of the networks that no sample depends on, such as a discriminator.
      distributions: from (state, held-out examples, key) to values by name, one per example, for histograms.
    """

    init: Callable[[Key[Array, ""]], State]
    step: Callable[[State, Batch, Key[Array, ""]], tuple[State, Metrics]]
    sample: Callable[..., Images] | None
    evaluate: Callable[[State, Batch, Key[Array, ""]], Metrics] | None = None
    baseline: Callable[[Pixels, Pixels], dict[str, float]] | None = None
    likelihood: Likelihood | None = None
    visualize: Callable[[State, Batch, Key[Array, ""]], dict[str, Visualization]] | None = None
    classes: int = 0
    generator: Callable[[State], Generator] | None = None
    networks: Mapping[str, Network] = {}
    auxiliary: tuple[str, ...] = ()
    distributions: Callable[[State, Batch, Key[Array, ""]], dict[str, Float[Array, " batch"]]] | None = None


@runtime_checkable
class MethodState(Protocol):
    """What the program needs of a method's state, which is a pytree such as :class:`ModelState`."""

    step: Int[Array, ""]  # how many steps it has taken, int32
    averaged: PyTree | None  # moving average of the parameters, which samples are drawn with; None if off

    def replace(self, **changes: Any) -> Any:
        """Returns the state with other values of some fields."""
        ...

    def variables(self, *, averaged: bool) -> tuple[PyTree, PyTree]:
        """Returns the parameters, averaged if kept and asked for, and the batch statistics."""
        ...

    def with_variables(self, params: PyTree, batch_stats: PyTree) -> Any:
        """Returns the state with other parameters and statistics."""
        ...


class NetworkState(struct.PyTreeNode):
    """One network in training: its parameters, its batch statistics and the state of its optimizer."""

    params: PyTree
    batch_stats: PyTree
    opt_state: optax.OptState

    @property
    def variables(self) -> dict[str, PyTree]:
        """The variables for ``module.apply``."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class ModelState(struct.PyTreeNode):
    """The state of a method that minimizes one objective over all its networks."""

    step: Int[Array, ""]
    network: NetworkState
    averaged: PyTree | None = None  # exponential moving average of the parameters; None if off

    @property
    def eval_params(self) -> PyTree:
        """The parameters for evaluation: averaged ones if an average is kept."""
        return self.network.params if self.averaged is None else self.averaged

    def variables(self, *, averaged: bool) -> tuple[PyTree, PyTree]:
        """The parameters, averaged if kept and requested, and the batch statistics."""
        return (self.eval_params if averaged else self.network.params), self.network.batch_stats

    def with_variables(self, params: PyTree, batch_stats: PyTree) -> "ModelState":
        """Replaces parameters and statistics; an average restarts from the parameters."""
        network = self.network.replace(params=params, batch_stats=batch_stats)
        return self.replace(network=network, averaged=_restarted(self.averaged, params))


class GANState(struct.PyTreeNode):
    """Everything a GAN carries from step to step, in one pytree; no PRNG key, since keys depend on the step."""

    step: Int[Array, ""]
    generator: NetworkState
    discriminator: NetworkState
    averaged: PyTree | None  # exponential moving average of the generator's parameters; None if off

    @property
    def eval_params(self) -> PyTree:
        """The generator's parameters for samples: averaged ones if an average is kept."""
        return self.generator.params if self.averaged is None else self.averaged

    def variables(self, *, averaged: bool) -> tuple[PyTree, PyTree]:
        """Parameters by network, the generator's averaged if kept and requested, and batch statistics by network."""
        params = self.eval_params if averaged else self.generator.params
        return (
            {"generator": params, "discriminator": self.discriminator.params},
            {"generator": self.generator.batch_stats, "discriminator": self.discriminator.batch_stats},
        )

    def with_variables(self, params: PyTree, batch_stats: PyTree) -> "GANState":
        """Replaces parameters and statistics; an average restarts from the parameters."""
        generator, discriminator = (
            getattr(self, name).replace(params=params[name], batch_stats=batch_stats[name])
            for name in ("generator", "discriminator")
        )
        averaged = _restarted(self.averaged, params["generator"])
        return self.replace(generator=generator, discriminator=discriminator, averaged=averaged)


def start_average(params: PyTree) -> PyTree:
    """Copies parameters in at least float32: an average in half precision would round its small updates away."""
    return jax.tree.map(lambda x: jnp.copy(to_float32(x)), params)


def _restarted(averaged: PyTree | None, params: PyTree) -> PyTree | None:
    """Copies parameters as the average, if one is kept, since a step donates both."""
    return averaged if averaged is None else jax.tree.map(lambda old, x: x.astype(old.dtype).copy(), averaged, params)
