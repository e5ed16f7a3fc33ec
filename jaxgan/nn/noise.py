"""Random numbers per example, the same on any number of devices.

Each example of a batch gets a row of random 32-bit words. They depend only on a key and on the index of the example in
the global batch. Latents, dropout and penalties take their words from the row by name.
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

THREEFRY = "threefry2x32"  # the generator of all random words


def random_bits(key: Key[Array, ""], index: Int[Array, " batch"], *, count: int) -> UInt32[Array, "batch {count}"]:
    """Draws random words for each example, the same on any number of devices.

    Args:
      key: the key of this step, used for nothing else; two words of it seed threefry if it is of another kind.
      index: each example's position in the global batch.
      count: words per example.

    Returns:
      Independent uniform 32-bit words.
    """
    if jax.random.key_impl(key) != THREEFRY:
        key = jax.random.wrap_key_data(jax.random.bits(key, (2,), jnp.uint32), impl=THREEFRY)
    # fold_in hashes a counter into two words. One vmap covers all counters: on CPU a threefry call costs more than its
    # hashing.
    pairs = -(-count // 2)
    counters = index.astype(jnp.uint32)[:, None] * pairs + jnp.arange(pairs, dtype=jnp.uint32)
    hashed = jax.vmap(partial(jax.random.fold_in, key))(counters.ravel())
    return jax.random.key_data(hashed).reshape(len(index), 2 * pairs)[:, :count]


def named_bits(
    key: Key[Array, ""], index: Int[Array, " batch"], counts: Mapping[str, int]
) -> dict[str, UInt32[Array, "batch count"]]:
    """Draws random words for each example and splits each row by name.

    Args:
      key: as in :func:`random_bits`.
      index: as in :func:`random_bits`.
      counts: words per example, by purpose; the order determines the split.

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


CLUSTERS = 10  # of :func:`mixture`


def mixture(bits: UInt32[Array, "*shape latent"]) -> Float[Array, "*shape latent"]:
    """Turns rows of random bits into latents in ten clusters: a one-hot vector and uniform numbers.

    A continuous generator maps a connected prior to connected images, yet classes are disjoint. Ten clusters, one per
    class, leave gaps between them. With 16 clusters some classes took two and others one, with unequal frequencies.
    Within a cluster the numbers are bounded: the rare outliers of a normal distribution become the worst images.

    Args:
      bits: more than ten words per row.

    Returns:
      Rows that start with sqrt(10) times a one-hot vector of size 10; the rest is from U[-sqrt(3), sqrt(3)]. The mean
      square of both parts is 1.
    """
    cluster = jax.nn.one_hot(bits[..., 0] % CLUSTERS, CLUSTERS)
    return jnp.concatenate([math.sqrt(CLUSTERS) * cluster, math.sqrt(3) * uniform(bits[..., CLUSTERS:])], axis=-1)


class Prior(NamedTuple):
    """A distribution of latents."""

    name: str  # name in configs and manifests
    draw: Callable[[UInt32[Array, "*shape"]], Float[Array, "*shape"]]  # from random bits to latents of the same shape
    description: str  # how to draw latents without this package
    fixed: int = 0  # leading numbers of a row that truncation does not scale, since they choose a cluster


PRIORS = {
    prior.name: prior
    for prior in (
        Prior("uniform", uniform, "every number from U[-1, 1]"),
        Prior("normal", normal, "every number from N(0, 1)"),
        Prior(
            "mixture",
            mixture,
            "sqrt(10) times a one-hot vector of size 10, each position equally likely; "
            "every further number from U[-sqrt(3), sqrt(3)]",
            fixed=CLUSTERS,
        ),
    )
}


def truncate(latents: Float[Array, "*shape latent"], prior: Prior, truncation: float) -> Float[Array, "*shape latent"]:
    """Scales latents towards the centre of the prior, or of their cluster.

    Images of latents near the centre resemble the data more and vary less: precision rises, recall falls.

    Args:
      latents: drawn from the prior.
      prior: their distribution.
      truncation: the factor, in [0, 1]; 1 leaves the latents unchanged.

    Returns:
      The scaled latents.

    References:
      Karras et al., A Style-Based Generator Architecture for GANs, 2019, appendix B, which truncates the output of a
      mapping network; here there is no such network.
    """
    if truncation == 1:
        return latents
    return jnp.concatenate([latents[..., : prior.fixed], truncation * latents[..., prior.fixed :]], axis=-1)


def interpolate(
    starts: Float[Array, "*shape latent"], ends: Float[Array, "*shape latent"], share: Float[Array, ""], prior: Prior
) -> Float[Array, "*shape latent"]:
    """Interpolates latents through likely ones: on an arc for the normal prior, otherwise on a line.

    Args:
      starts: latents at ``share`` 0.
      ends: latents at ``share`` 1.
      share: position between both, in [0, 1].
      prior: distribution of both.

    Returns:
      The interpolated latents.

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
    """The fewest bits, a divisor of 32, that represent a probability of `rate` exactly; 32 if none do."""
    return next((b for b in (1, 2, 4, 8, 16) if (rate * 2**b).is_integer()), 32)


def mask_words(units: int, *, rate: float) -> int:
    """Counts the words per example that :func:`keep_mask` takes; one word holds 32 decisions at rate 0.5."""
    return 0 if rate == 0 else math.ceil(units * _decision_bits(rate) / 32)


def keep_mask(bits: UInt32[Array, "batch words"], units: int, *, rate: float) -> Bool[Array, "batch {units}"]:
    """Decides which units dropout keeps.

    Args:
      bits: random words, :func:`mask_words` per example.
      units: decisions per example.
      rate: probability of dropping a unit, in (0, 1).

    Returns:
      True, with probability 1 - rate (to 2^-32), for the units to keep.
    """
    width = _decision_bits(rate)
    shifts = jnp.arange(0, 32, width, dtype=jnp.uint32)
    fields = (bits[:, :, None] >> shifts) & jnp.uint32(2**width - 1)
    return fields.reshape(bits.shape[0], -1)[:, :units] >= jnp.uint32(min(round(rate * 2**width), 2**width - 1))
