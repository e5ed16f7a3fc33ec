"""Networks that see the class of each example."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int


class Conditional(nn.Module):
    """Gives a network one-hot labels beside its input.

    References:
      Sohn et al., Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """

    network: nn.Module  # from rows, or from images if ``planes``; its layers become this module's own
    classes: int  # how many classes a label can name
    # Whether each class is a channel of the images, all ones or zeros; otherwise the input becomes a row.
    planes: bool = False

    def setup(self) -> None:
        """Takes over the network's layers."""
        nn.share_scope(self, self.network)

    def __call__(
        self, x: Float[Array, "batch ..."], labels: Int[Array, " batch"] | None = None
    ) -> Float[Array, "batch ..."]:
        """Applies the network.

        Args:
          x: its input.
          labels: the class of each example; None for all classes in turn, from class 0.
        """
        count = x.shape[0]
        labels = jnp.arange(count) % self.classes if labels is None else labels
        one_hot = jax.nn.one_hot(labels, self.classes, dtype=x.dtype)
        if self.planes:
            one_hot = jnp.broadcast_to(one_hot[:, None, None], (*x.shape[:-1], self.classes))
        else:
            x = x.reshape(count, -1)
        return self.network(jnp.concatenate([x, one_hot], axis=-1))
