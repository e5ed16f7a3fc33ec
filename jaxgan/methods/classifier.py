"""Classification as a method: the network that judges samples trains on the same runtime as those that draw them."""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgan.methods import augmentation
from jaxgan.methods.exhibits import Exhibit, Sheet
from jaxgan.methods.gradients import value_and_mean_grad
from jaxgan.methods.method import Batch, Method, Metrics
from jaxgan.methods.state import ClassifierState, NetworkState
from jaxgan.nn import noise

SHOWN, COLUMNS = 36, 12  # held-out images that the classifier is least sure of


def classifier(
    network: nn.Module,
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
      optimizer: the network's.
      augment: whether training images are deformed, anew every time; see :func:`augmentation.deform`.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: parts that a device's batch is split into, one after the other, to take less memory.

    Returns:
      The method, which has no ``sample``. Its metrics are the ``loss``, cross-entropy in nats, and the ``accuracy``.
    """

    def init(key: Key[Array, ""]) -> ClassifierState:
        variables = network.init(key, jnp.zeros((1, *image_shape)))
        params, stats = variables["params"], variables.get("batch_stats", {})
        return ClassifierState(jnp.zeros((), jnp.int32), NetworkState(params, stats, optimizer.init(params)))

    def objective(logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]):
        # Labels are not smoothed: that would draw the features of a class together, whose spread is to be measured.
        loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
        return loss, {"loss": loss, "accuracy": jnp.mean(jnp.argmax(logits, axis=1) == labels)}

    def step(state: ClassifierState, batch: Batch, key: Key[Array, ""]) -> tuple[ClassifierState, Metrics]:
        now = state.network

        def loss(params: PyTree, part: Batch):
            images = part.images
            if augment:
                images = augmentation.deform(images, noise.words(key, part.index, count=augmentation.WORDS))
            variables = {"params": params, "batch_stats": now.batch_stats}
            (logits, _), recorded = network.apply(variables, images, train=True, mutable=["batch_stats"])
            value, metrics = objective(logits, part.labels)
            return value, (metrics, recorded.get("batch_stats", now.batch_stats))

        (_, (metrics, stats)), gradients = value_and_mean_grad(
            loss, now.params, batch, axis_name=axis_name, accumulate=accumulate
        )
        updates, opt_state = optimizer.update(gradients, now.opt_state, now.params)
        network_state = NetworkState(optax.apply_updates(now.params, updates), stats, opt_state)
        return ClassifierState(state.step + 1, network_state), metrics

    def predict(state: ClassifierState, images: Float[Array, "batch height width channels"]) -> Array:
        variables = {"params": state.network.params, "batch_stats": state.network.batch_stats}
        return network.apply(variables, images)[0]

    def evaluate(state: ClassifierState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        return objective(predict(state, batch.images), batch.labels)[1]

    def exhibits(state: ClassifierState, batch: Batch, key: Key[Array, ""]) -> dict[str, Exhibit]:
        probabilities = jax.nn.softmax(predict(state, batch.images))
        of_label = jnp.take_along_axis(probabilities, batch.labels[:, None], axis=1)[:, 0]
        hardest = jnp.argsort(of_label)[:SHOWN]
        title = "The held-out images whose own class seems least probable, hardest first"
        return {"hardest": Sheet(title, batch.images[hardest], COLUMNS)}

    return Method(init, step, sample=None, evaluate=evaluate, exhibits=exhibits)
