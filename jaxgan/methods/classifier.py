"""A classifier as a method: the feature network of evaluations trains with the same runtime as generators."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Int, Key, PyTree, UInt32

from jaxgan.errors import UserError
from jaxgan.fields import non_negative, number, probability, schedule_steps
from jaxgan.methods.method import (
    Batch,
    Method,
    Metrics,
    ModelState,
    Module,
    Network,
    NetworkState,
    Sheet,
    Visualization,
)
from jaxgan.methods.optimization import adam, update, value_and_mean_grad
from jaxgan.nn import noise
from jaxgan.nn.classifier import CLASSIFIERS
from jaxgan.nn.initializers import INITIALIZATIONS
from jaxgan.nn.layers import COMPUTE_DTYPES

SHOWN, COLUMNS = 36, 12  # held-out images in the figure, and images per row
DEFORM_BITS = 6  # random words per image for its deformation
ROTATION, SHEAR, SCALE = 0.2, 0.2, 0.12  # bounds, in radians, as a slope, and as a logarithm
SHIFT = 2.5  # bound, in pixels
BACKGROUND = -1.0

Images = Float[Array, "batch height width channels"]


@dataclass(frozen=True)
class Classifier:
    """A small classifier, whose features are used to evaluate samples."""

    title = "Digit classifier"

    network: Literal["convolutional", "dense"] = "convolutional"  # kind of layers
    width: int = number(32)  # channels at half the image size; a third of the number of features
    augment: bool = True  # randomly rotate, shear, scale and shift the training images in each step
    initialization: Literal["torch", "lecun", "dcgan"] = "torch"  # U(+-1/sqrt(fan_in)), LeCun normal, or N(0, 0.02)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of matrix products; all else stays float32
    learning_rate: float = non_negative(4e-3)  # Adam learning rate, constant or at its peak
    decay_steps: int = schedule_steps(0)  # steps of a one-cycle schedule of the learning rate; 0: constant
    beta1: float = probability(0.9)  # decay rate of Adam's first moment
    beta2: float = probability(0.999)  # decay rate of Adam's second moment


def build(
    config: Classifier,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds the classifier; see :func:`jaxgan.methods.build`. Raises UserError if the images have no classes."""
    if classes < 2:
        raise UserError("--data: the images have no classes, which a classifier needs; choose others")
    rate = config.learning_rate
    if config.decay_steps:
        rate = optax.cosine_onecycle_schedule(config.decay_steps, rate, pct_start=0.2)
    network = CLASSIFIERS[config.network](
        classes,
        config.width,
        INITIALIZATIONS[config.initialization](),
        axis_name,
        COMPUTE_DTYPES[config.compute_dtype],
    )
    return classifier(
        network,
        image_shape=image_shape,
        optimizer=optimizer or adam(rate, config.beta1, config.beta2),
        augment=config.augment,
        axis_name=axis_name,
        accumulate=accumulate,
    )


def classifier(
    network: Module,
    *,
    image_shape: tuple[int, int, int],
    optimizer: optax.GradientTransformation,
    augment: bool = True,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Method:
    """Builds a classifier of images.

    Args:
      network: from images in [-1, 1] and ``train`` to the logits of the classes, and features.
      image_shape: height, width and channels of an image.
      optimizer: optimizer of the network.
      augment: whether training images are randomly deformed in each step; see :func:`deform`.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: number of parts that a device's batch is split into (gradient accumulation), to save memory.

    Returns:
      The method, which has no ``sample``. Its metrics are the ``loss``, cross-entropy in nats, and the ``accuracy``.
    """

    def init(key: Key[Array, ""]) -> ModelState:
        variables = network.init(key, jnp.zeros((1, *image_shape)))
        params, stats = variables["params"], variables.get("batch_stats", {})
        return ModelState(jnp.zeros((), jnp.int32), NetworkState(params, stats, optimizer.init(params)))

    def objective(logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]):
        # No label smoothing: it would pull the features of a class together, but metrics measure their spread.
        loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
        return loss, {"loss": loss, "accuracy": jnp.mean(jnp.argmax(logits, axis=1) == labels)}

    def step(state: ModelState, batch: Batch, key: Key[Array, ""]) -> tuple[ModelState, Metrics]:
        network_state = state.network

        def loss(params: PyTree, part: Batch):
            images = part.images
            if augment:
                images = deform(images, noise.random_bits(key, part.index, count=DEFORM_BITS))
            variables = network_state.replace(params=params).variables
            (logits, _), recorded = network.apply(variables, images, train=True, mutable=["batch_stats"])
            value, metrics = objective(logits, part.labels)
            return value, (metrics, recorded.get("batch_stats", network_state.batch_stats))

        (_, (metrics, stats)), gradients = value_and_mean_grad(
            loss, network_state.params, batch, axis_name=axis_name, accumulate=accumulate
        )
        return ModelState(state.step + 1, update(network_state, gradients, stats, optimizer)), metrics

    def predict(state: ModelState, images: Images) -> Array:
        return network.apply(state.network.variables, images)[0]

    def evaluate(state: ModelState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        return objective(predict(state, batch.images), batch.labels)[1]

    def visualize(state: ModelState, batch: Batch, key: Key[Array, ""]) -> dict[str, Visualization]:
        probabilities = jax.nn.softmax(predict(state, batch.images))
        of_label = jnp.take_along_axis(probabilities, batch.labels[:, None], axis=1)[:, 0]
        hardest = jnp.argsort(of_label)[:SHOWN]
        title = "Held-out images with the least probable labels, hardest first"
        return {"hardest": Sheet(title, batch.images[hardest], COLUMNS)}

    networks = {"network": Network(network, image_shape)}
    return Method(init, step, sample=None, evaluate=evaluate, visualize=visualize, networks=networks)


def deform(images: Images, bits: UInt32[Array, "batch 6"]) -> Images:
    """Rotates, shears, scales and shifts each image by small random amounts.

    Args:
      images: values in [-1, 1] on a black background.
      bits: random words, :data:`DEFORM_BITS` per image.

    Returns:
      The deformed images, interpolated linearly.
    """
    return jax.vmap(_affine)(images, noise.uniform(bits))


def _affine(image: Float[Array, "height width channels"], amounts: Float[Array, " 6"]) -> Array:
    angle, shear = ROTATION * amounts[0], SHEAR * amounts[1]
    rotation = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    matrix = rotation @ jnp.array([[1.0, shear], [0.0, 1.0]]) * jnp.exp(SCALE * amounts[2:4])[:, None]
    centre = (jnp.array(image.shape[:2]) - 1) / 2
    grid = jnp.stack(jnp.meshgrid(*map(jnp.arange, image.shape[:2]), indexing="ij"))
    positions = jnp.einsum("ij,jhw->ihw", matrix, grid - centre[:, None, None])
    positions += (centre + SHIFT * amounts[4:])[:, None, None]
    return jax.vmap(
        lambda channel: map_coordinates(channel, [*positions], order=1, cval=BACKGROUND), in_axes=2, out_axes=2
    )(image)
