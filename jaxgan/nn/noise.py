"""Random numbers that belong to an example, not to a device.

Each example of a batch gets a row of random words that depends only on a key and on its index in the global batch, so
the same numbers come out however many devices the batch is spread over. Whoever needs randomness (latents, dropout)
takes its words from that row.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, UInt32


def words(key: Key[Array, ""], index: Int[Array, " batch"], *, count: int) -> UInt32[Array, "batch {count}"]:
    """Draws random words for each example, the same on any number of devices.

    Args:
      key: the threefry key of this step, used for nothing else.
      index: each example's position in the global batch.
      count: words an example.

    Returns:
      Independent uniform 32-bit words.
    """
    # fold_in hashes a counter into two words. All counters at once: on CPU each call of threefry costs more than the
    # hashing in it.
    pairs = -(-count // 2)
    counters = index.astype(jnp.uint32)[:, None] * pairs + jnp.arange(pairs, dtype=jnp.uint32)
    hashed = jax.vmap(partial(jax.random.fold_in, key))(counters.ravel())
    return jax.random.key_data(hashed).reshape(len(index), 2 * pairs)[:, :count]


def uniform(bits: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Turns random words into numbers from U[-1, 1), one a word."""
    mantissa = (bits >> 9) | jnp.uint32(0x3F800000)  # a float in [1, 2)
    return lax.bitcast_convert_type(mantissa, jnp.float32) * 2 - 3


def normal(bits: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Turns random words into numbers from N(0, 1), one a word, through the inverse error function."""
    tiny = jnp.finfo(jnp.float32).epsneg
    return math.sqrt(2) * lax.erf_inv(jnp.clip(uniform(bits), -1 + tiny, 1 - tiny))


CLUSTERS = 10  # of a mixture


def mixture(bits: UInt32[Array, "*shape latent"]) -> Float[Array, "*shape latent"]:
    """Turns rows of random words into latents in ten clusters: ten numbers that say which, the others evenly spread.

    Digits of different classes have no digits between them, but a generator that is continuous maps a law without gaps
    to one without gaps; clusters give it gaps. With as many clusters as classes each can take one, whole, so that all
    classes come equally often; with 16 some took two and others one. Within a cluster the law ends somewhere, since a
    normal law's rare far latents become the images least like any digit.

    Args:
      bits: more than ten words a row.

    Returns:
      Rows of which one of the first ten numbers is sqrt(10) and the others of them are 0; the rest is from
      U[-sqrt(3), sqrt(3)]. So the mean square is 1 in both parts.
    """
    cluster = jax.nn.one_hot(bits[..., 0] % CLUSTERS, CLUSTERS)
    return jnp.concatenate([math.sqrt(CLUSTERS) * cluster, math.sqrt(3) * uniform(bits[..., CLUSTERS:])], axis=-1)


Law = Callable[[UInt32[Array, "*shape"]], Float[Array, "*shape"]]


def truncated(law: Law, truncation: float) -> Law:
    """Draws a law's latents closer to the middle, of a mixture to that of their cluster.

    What a generator makes of latents far out is less like the data. Samples of the middle are more like it and vary
    less: precision rises at the cost of recall.

    Args:
      law: one of the laws above.
      truncation: the share of its spread that remains; 1 leaves the law alone.

    Returns:
      The law to sample by.

    References:
      Karras et al., A Style-Based Generator Architecture for GANs, 2019, appendix B, where it is applied to what a
      first network makes of the latents; here there is none.
    """
    if truncation == 1:
        return law
    kept = CLUSTERS if law is mixture else 0

    def closer(bits: UInt32[Array, "*shape latent"]) -> Float[Array, "*shape latent"]:
        latents = law(bits)
        return jnp.concatenate([latents[..., :kept], truncation * latents[..., kept:]], axis=-1)

    return closer


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
      units: decisions an example.
      rate: probability of dropping a unit, in (0, 1).

    Returns:
      True, with probability 1 - rate (to 2^-32), for the units to keep.
    """
    width = _decision_bits(rate)
    shifts = jnp.arange(0, 32, width, dtype=jnp.uint32)
    fields = (bits[:, :, None] >> shifts) & jnp.uint32(2**width - 1)
    return fields.reshape(bits.shape[0], -1)[:, :units] >= jnp.uint32(min(round(rate * 2**width), 2**width - 1))
