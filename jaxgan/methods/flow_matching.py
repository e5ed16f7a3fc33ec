"""Flow matching: a network regresses the velocity that carries noise to images; sampling solves an ODE.

With noise x_0 from N(0, I) and an image x_1, the optimal-transport path is x_t = (1 - t) x_0 + t x_1, whose velocity is
x_1 - x_0 = (x_1 - x_t) / (1 - t). From x_t and t the network predicts the velocity, or the image, which gives it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgan.errors import UserError
from jaxgan.fields import non_negative, number, probability, rising_steps, schedule_steps
from jaxgan.methods.losses import flat_rows
from jaxgan.methods.method import (
    Batch,
    Generator,
    Method,
    Metrics,
    ModelState,
    Module,
    Network,
    Rows,
    Visualization,
    conditioned,
    rows_by_class,
)
from jaxgan.methods.optimization import adam, evaluate_objective, initialize, minimize
from jaxgan.methods.sampling import labels_asked, samples_of
from jaxgan.nn import noise
from jaxgan.nn.initializers import INITIALIZATIONS
from jaxgan.nn.layers import COMPUTE_DTYPES
from jaxgan.nn.unet import UNet

Images = Float[Array, "batch height width channels"]
Labels = tuple[Int[Array, " batch"], ...]  # one array of labels, or none if unconditional
Velocity = Callable[..., Images]  # from noisy images, their times, and labels if conditional

COLUMNS = 10  # images in a row of a figure
TIMES = 8  # intervals of time in the figure of the path
LATEST = 0.95  # time from which the loss of a predicted image has a constant weight instead of 1 / (1 - t)^2


@dataclass(frozen=True)
class FlowMatching:
    """Flow matching on the optimal-transport path (Lipman et al. 2023; Liu et al. 2023)."""

    title = "Flow matching"
    former_defaults: ClassVar[dict[str, str]] = {"prediction": "velocity"}  # of runs from before the field

    width: int = number(24)  # channels at half the image size; they double with each level
    levels: int = number(3, high=16)  # resolutions of the U-Net, at most the number of halvings of the image
    blocks: int = number(1, high=64)  # residual blocks per level, in the downward and in the upward path
    prediction: Literal["image", "velocity"] = "image"  # output of the network; an image passes through tanh
    time: Literal["uniform", "logit-normal"] = "logit-normal"  # distribution of the training times t
    conditional: bool = False  # condition the velocity on the class of each image
    label_dropout: float = probability(0.1)  # probability of hiding a label in training, for guidance
    guidance: float = non_negative(1.0)  # weight of the conditional velocity in samples; 1: no guidance
    sampler: Literal["euler", "heun"] = "heun"  # ODE solver of order 1 or 2
    sample_steps: int = number(15)  # steps of the solver
    initialization: Literal["torch", "lecun", "dcgan"] = "lecun"  # U(+-1/sqrt(fan_in)), LeCun normal, or N(0, 0.02)
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # dtype of matrix products; all else stays float32
    learning_rate: float = non_negative(3e-3)  # peak of the Adam learning rate
    warmup_steps: int = rising_steps(200)  # steps in which the learning rate rises to its peak
    decay_steps: int = schedule_steps(0)  # steps, including the warm-up, of a cosine decay to 0; 0: constant
    beta1: float = probability(0.9)  # decay rate of Adam's first moment
    beta2: float = probability(0.99)  # decay rate of Adam's second moment
    ema_decay: float = probability(0.999)  # decay of the parameters' moving average, to evaluate and sample; 0: none


def build(
    config: FlowMatching,
    *,
    image_shape: tuple[int, int, int],
    classes: int = 10,
    axis_name: str | None = None,
    accumulate: int = 1,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Builds flow matching; see :func:`jaxgan.methods.build`.

    Raises:
      UserError: if it is conditional without classes, guided but unconditional, or if the decay ends in the warm-up.
    """
    classes = conditioned(config.conditional, classes)
    if 0 < config.decay_steps <= config.warmup_steps:
        raise UserError(
            f"--decay-steps: {config.decay_steps} is not allowed, it must be above the {config.warmup_steps} steps of "
            "--warmup-steps, or 0"
        )
    if config.guidance != 1 and not config.conditional:
        raise UserError(f"--guidance: {config.guidance:g} needs --conditional")
    unet = UNet(
        image_shape,
        config.width,
        config.levels,
        config.blocks,
        classes,
        INITIALIZATIONS[config.initialization](),
        COMPUTE_DTYPES[config.compute_dtype],
    )
    return flow_matching(
        unet,
        image_shape=image_shape,
        classes=classes,
        optimizer=optimizer or adam(learning_rate(config), config.beta1, config.beta2),
        prediction=config.prediction,
        time=config.time,
        label_dropout=config.label_dropout,
        guidance=config.guidance,
        integrate=partial(INTEGRATORS[config.sampler], steps=config.sample_steps),
        ema_decay=config.ema_decay,
        axis_name=axis_name,
        accumulate=accumulate,
    )


def learning_rate(config: FlowMatching) -> optax.Schedule:
    """The learning rate schedule of Adam: a linear warm-up, then a constant or a cosine decay to 0."""
    rate, warmup = config.learning_rate, config.warmup_steps
    if config.decay_steps:
        return optax.warmup_cosine_decay_schedule(0.0, rate, warmup, config.decay_steps)
    return optax.warmup_constant_schedule(0.0, rate, warmup) if warmup else optax.constant_schedule(rate)


def flow_matching(
    network: Module,
    *,
    image_shape: tuple[int, int, int],
    optimizer: optax.GradientTransformation,
    integrate: Callable[..., Images],
    classes: int = 0,
    prediction: str = "velocity",
    time: str = "uniform",
    label_dropout: float = 0.1,
    guidance: float = 1.0,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> Method:
    """Builds flow matching with a network that predicts velocities or images.

    Args:
      network: from noisy images, their times in [0, 1] and labels to velocities, or to images before tanh; the label
        ``classes`` means that the class is unknown.
      image_shape: height, width and channels of an image.
      optimizer: optimizer of the network.
      integrate: from a velocity field, noise, and labels if conditional, to images; see :data:`INTEGRATORS`.
      classes: number of classes to condition on; 0 if unconditional.
      prediction: output of the network, ``velocity`` or ``image``.
      time: distribution of the training times, ``uniform`` or ``logit-normal``.
      label_dropout: probability of hiding a label in training.
      guidance: weight w of the conditional velocity in samples, v(x) + w (v(x, label) - v(x)).
      ema_decay: decay of the parameters' moving average, for evaluation and samples; 0 for none.
      axis_name: the mapped axis that the batch is split over; None on one device.
      accumulate: number of parts that a device's batch is split into (gradient accumulation), to save memory.

    Returns:
      The method. Its metric is the ``velocity_error``, a mean square per pixel on the scale [-1, 1].

    References:
      Lipman et al., Flow Matching for Generative Modeling, 2023, equation 23; Liu et al., Flow Straight and Fast, 2023,
      equation 1; Ho and Salimans, Classifier-Free Diffusion Guidance, 2022; Li and He, Back to Basics: Let Denoising
      Generative Models Denoise, 2025, for predicting images; Esser et al., Scaling Rectified Flow
      Transformers, 2024, section 3.1, for the logit-normal times.
    """
    pixels = math.prod(image_shape)
    counts = {"noise": pixels, "time": 1, "dropout": 1}

    def predict(params: PyTree, x: Images, t: Float[Array, " batch"], *labels: Int[Array, " batch"]) -> Images:
        predicted = network.apply({"params": params["velocity"]}, x, t, *labels)
        return jnp.tanh(predicted) if prediction == "image" else predicted

    def objective(params: PyTree, batch: Batch, key: Key[Array, ""]) -> tuple[Float[Array, ""], Metrics]:
        bits = noise.named_bits(key, batch.index, counts)
        x_0, t = noise.normal(bits["noise"]).reshape(batch.images.shape), TIME_PRIORS[time](bits["time"][:, 0])
        labels: Labels = ()
        if classes:
            hidden = noise.uniform(bits["dropout"][:, 0]) < 2 * label_dropout - 1
            labels = (jnp.where(hidden, classes, batch.labels),)
        predicted = flat_rows(predict(params, path(x_0, batch.images, t), t, *labels))
        if prediction == "image":
            difference = (predicted - flat_rows(batch.images)) / (1 - jnp.minimum(t, LATEST))[:, None]
        else:
            difference = predicted - flat_rows(batch.images - x_0)
        error = jnp.mean(jnp.square(difference))
        return error, {"velocity_error": error}

    def velocity(params: PyTree) -> Velocity:
        def field(x: Images, t: Float[Array, " batch"], *labels: Int[Array, " batch"]) -> Images:
            predicted = predict(params, x, t, *labels)
            return (predicted - x) / (1 - t)[:, None, None, None] if prediction == "image" else predicted

        def guided(x: Images, t: Float[Array, " batch"], labels: Int[Array, " batch"]) -> Images:
            unknown = field(x, t, jnp.full_like(labels, classes))
            return unknown + guidance * (field(x, t, labels) - unknown)

        return guided if classes and guidance != 1 else field

    def generator(state: ModelState) -> Generator:
        def images(latents: Float[Array, "batch pixels"], *labels: Int[Array, " batch"]) -> Images:
            x_0 = latents.reshape(-1, *image_shape)
            return jnp.clip(integrate(velocity(state.eval_params), x_0, *labels), -1, 1)

        return Generator("velocity", pixels, noise.PRIORS["normal"], 1.0, classes, images)

    def visualize(state: ModelState, batch: Batch, key: Key[Array, ""]) -> dict[str, Visualization]:
        latents, labels = noise.standard_normal(key, COLUMNS, pixels), labels_asked(None, COLUMNS, classes=classes)
        field, draw = velocity(state.eval_params), jax.jit(generator(state).images)

        @jax.jit
        def advance(x: Images, i: Int[Array, ""]) -> Images:  # from time i / TIMES to the next
            return integrate(lambda x, t, *labels: field(x, (i + t) / TIMES, *labels) / TIMES, x, *labels)

        x = latents.reshape(-1, *image_shape)
        rows = {"t = 0": x}
        for i in range(TIMES):
            x = advance(x, i)
            rows[f"t = {(i + 1) / TIMES:g}"] = x
        rows = {label: jnp.clip(x, -1, 1) for label, x in rows.items()}
        figures: dict[str, Visualization] = {"path": Rows("From noise to images along the learned velocity", rows)}
        if classes:
            figures["classes"] = rows_by_class(
                lambda label: draw(latents, jnp.full(COLUMNS, label)), classes, latents="noise"
            )
        return figures

    networks = {"velocity": Network(network, image_shape)}
    return Method(
        init=initialize(networks, optimizer, ema_decay=ema_decay),
        step=minimize(objective, optimizer, ema_decay=ema_decay, axis_name=axis_name, accumulate=accumulate),
        sample=samples_of(generator),
        evaluate=evaluate_objective(objective),
        visualize=visualize,
        classes=classes,
        generator=generator,
        networks=networks,
    )


def path(x_0: Images, x_1: Images, t: Float[Array, " batch"]) -> Images:
    """Returns x_t = (1 - t) x_0 + t x_1, on the straight path from noise to images."""
    t = t[:, None, None, None]
    return (1 - t) * x_0 + t * x_1


def _loop(steps: int, step: Callable[..., Images], x: Images, *labels: Int[Array, " batch"]) -> Images:
    """Repeats a step; the loop carries the labels, since a converter to ONNX takes no arrays from around a loop."""
    return lax.fori_loop(0, steps, lambda i, carry: (step(i, *carry), *carry[1:]), (x, *labels))[0]


def euler(velocity: Velocity, x: Images, *labels: Int[Array, " batch"], steps: int) -> Images:
    """Integrates a velocity field from t = 0 to 1 by Euler's method, of order 1."""

    def step(i: Int[Array, ""], x: Images, *labels: Int[Array, " batch"]) -> Images:
        return x + velocity(x, _time(x, i / steps), *labels) / steps

    return _loop(steps, step, x, *labels)


def heun(velocity: Velocity, x: Images, *labels: Int[Array, " batch"], steps: int) -> Images:
    """Integrates a velocity field from t = 0 to 1 by Heun's method, of order 2: two evaluations per step.

    The last step is Euler's, since a predicted image has no velocity at t = 1.

    References:
      Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, algorithm 1.
    """

    def step(i: Int[Array, ""], x: Images, *labels: Int[Array, " batch"]) -> Images:
        first = velocity(x, _time(x, i / steps), *labels)
        second = velocity(x + first / steps, _time(x, (i + 1) / steps), *labels)
        return x + (first + second) / (2 * steps)

    x = _loop(steps - 1, step, x, *labels)
    return x + velocity(x, _time(x, 1 - 1 / steps), *labels) / steps


INTEGRATORS = {"euler": euler, "heun": heun}
TIME_PRIORS = {
    "uniform": lambda bits: (noise.uniform(bits) + 1) / 2,
    "logit-normal": lambda bits: jax.nn.sigmoid(noise.normal(bits)),
}


def _time(x: Images, t: Float[Array, ""] | float) -> Float[Array, " batch"]:
    """Returns the same time for all images; the batch size may be symbolic."""
    return jnp.full_like(x[:, 0, 0, 0], t)
