"""Random numbers that belong to an example, not to a device.

Each example of a batch gets a row of random bits, 32-bit words that depend only on a key and on its index in the global
batch, so the same numbers come out on any number of devices. Latents, dropout and penalties take their words by name.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, UInt32


def random_bits(key: Key[Array, ""], index: Int[Array, " batch"], *, count: int) -> UInt32[Array, "batch {count}"]:
    """Draws random words for each example, the same on any number of devices.

    Args:
      key: the threefry key of this step, used for nothing else.
      index: each example's position in the global batch.
      count: words per example.

    Returns:
      Independent uniform 32-bit words.
    """
    # fold_in hashes a counter into two words. All counters at once: on CPU a call of threefry costs more than its
    # hashing.
    pairs = -(-count // 2)
    counters = index.astype(jnp.uint32)[:, None] * pairs + jnp.arange(pairs, dtype=jnp.uint32)
    hashed = jax.vmap(partial(jax.random.fold_in, key))(counters.ravel())
    return jax.random.key_data(hashed).reshape(len(index), 2 * pairs)[:, :count]


def named_bits(
    key: Key[Array, ""], index: Int[Array, " batch"], counts: Mapping[str, int]
) -> dict[str, UInt32[Array, "batch count"]]:
    """Draws random words for each example and divides each row by name.

    Args:
      key: as in :func:`random_bits`.
      index: as in :func:`random_bits`.
      counts: words per example, by what they are for; the order matters.

    Returns:
      Rows of words by name.
    """
    bits = random_bits(key, index, count=sum(counts.values()))
    ends = list(accumulate(counts.values()))
    return dict(zip(counts, jnp.split(bits, ends[:-1], axis=1), strict=True))


def uniform(bits: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Turns random words into numbers from U[-1, 1), one per word."""
    mantissa = (bits >> 9) | jnp.uint32(0x3F800000)  # a float in [1, 2)
    return lax.bitcast_convert_type(mantissa, jnp.float32) * 2 - 3


def normal(bits: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Turns random words into numbers from N(0, 1), one per word, through the inverse error function."""
    tiny = jnp.finfo(jnp.float32).epsneg
    return math.sqrt(2) * lax.erf_inv(jnp.clip(uniform(bits), -1 + tiny, 1 - tiny))


def standard_normal(key: Key[Array, ""], count: int, size: int) -> Float[Array, "{count} {size}"]:
    """Draws rows of numbers from N(0, 1); row i depends on the key and i."""
    return normal(random_bits(key, jnp.arange(count), count=size))


CLUSTERS = 10  # of the mixture


def mixture(bits: UInt32[Array, "*shape latent"]) -> Float[Array, "*shape latent"]:
    """Turns rows of random bits into latents in ten clusters: a one-hot vector beside uniform numbers.

    A continuous generator maps a connected prior to connected images, yet classes are disjoint. Ten clusters, one per
    class, leave gaps between them. With 16 clusters some classes took two and others one, and came unequally often.
    Within a cluster the numbers are bounded: a normal distribution's rare far latents become the worst images.

    Args:
      bits: more than ten words per row.

    Returns:
      Rows of which one of the first ten numbers is sqrt(10) and the others of them are 0; the rest is from
      U[-sqrt(3), sqrt(3)]. So the mean square is 1 in both parts.
    """
    cluster = jax.nn.one_hot(bits[..., 0] % CLUSTERS, CLUSTERS)
    return jnp.concatenate([math.sqrt(CLUSTERS) * cluster, math.sqrt(3) * uniform(bits[..., CLUSTERS:])], axis=-1)


class Prior(NamedTuple):
    """A distribution of latents."""

    name: str  # how a config and a manifest call it
    draw: Callable[[UInt32[Array, "*shape"]], Float[Array, "*shape"]]  # from random bits to latents of the same shape
    description: str  # how to draw latents without this package
    fixed: int = 0  # numbers at the front of a row that truncation leaves alone, since they choose a cluster


PRIORS = {
    prior.name: prior
    for prior in (
        Prior("uniform", uniform, "every number from U[-1, 1]"),
        Prior("normal", normal, "every number from N(0, 1)"),
        Prior(
            "mixture",
            mixture,
            "one of the first 10 numbers is sqrt(10), each as often, the others of them are 0; "
            "every further number from U[-sqrt(3), sqrt(3)]",
            fixed=CLUSTERS,
        ),
    )
}


def truncate(latents: Float[Array, "*shape latent"], prior: Prior, truncation: float) -> Float[Array, "*shape latent"]:
    """Scales latents towards the centre of the prior, or of their cluster.

    Images of central latents resemble the data more and vary less: precision rises at the cost of recall.

    Args:
      latents: drawn from the prior.
      prior: where they come from.
      truncation: the factor, in [0, 1]; 1 leaves the latents alone.

    Returns:
      The scaled latents.

    References:
      Karras et al., A Style-Based Generator Architecture for GANs, 2019, appendix B, where it is applied to what a
      first network makes of the latents; here there is none.
    """
    if truncation == 1:
        return latents
    return jnp.concatenate([latents[..., : prior.fixed], truncation * latents[..., prior.fixed :]], axis=-1)


def interpolate(
    starts: Float[Array, "*shape latent"], ends: Float[Array, "*shape latent"], share: Float[Array, ""], prior: Prior
) -> Float[Array, "*shape latent"]:
    """Finds latents on the way from some to others that are as likely: for normal ones on an arc, else on a line.

    Args:
      starts: latents.
      ends: where the ways lead.
      share: of the way that is gone, in [0, 1].
      prior: where both come from.

    Returns:
      Latents on the way.

    References:
      White, Sampling Generative Networks, 2016, section 2.1.
    """
    if prior.name != "normal":
        return starts + share * (ends - starts)
    unit = [x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (starts, ends)]
    angle = jnp.arccos(jnp.clip(jnp.sum(unit[0] * unit[1], axis=-1, keepdims=True), -1, 1))
    parts = jnp.sin((1 - share) * angle) * starts + jnp.sin(share * angle) * ends
    return jnp.where(angle < 1e-4, starts, parts / jnp.maximum(jnp.sin(angle), 1e-6))


def _decision_bits(rate: float) -> int:
    """The fewest bits, a divisor of 32, whose values split into `rate` and the rest exactly; 32 if none do."""
    return next((b for b in (1, 2, 4, 8, 16) if (rate * 2**b).is_integer()), 32)


def mask_words(units: int, *, rate: float) -> int:
    """Counts the words that :func:`keep_mask` takes for an example; one word holds 32 decisions at rate 0.5."""
    return 0 if rate == 0 else math.ceil(units * _decision_bits(rate) / 32)


def keep_mask(bits: UInt32[Array, "batch words"], units: int, *, rate: float) -> Bool[Array, "batch {units}"]:
    """Decides which units dropout keeps.

    Args:
      bits: random words, :func:`mask_words` an example.
      units: decisions per example.
      rate: probability of dropping a unit, in (0, 1).

    Returns:
      True, with probability 1 - rate (to 2^-32), for the units to keep.
    """
    width = _decision_bits(rate)
    shifts = jnp.arange(0, 32, width, dtype=jnp.uint32)
    fields = (bits[:, :, None] >> shifts) & jnp.uint32(2**width - 1)
    return fields.reshape(bits.shape[0], -1)[:, :units] >= jnp.uint32(min(round(rate * 2**width), 2**width - 1))
