"""Class-conditional networks."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int


class Conditional(nn.Module):
    """Concatenates one-hot labels to the input of a network.

    References:
      Sohn et al., Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """

    network: nn.Module  # takes rows, or images if ``planes``; its parameters live in this module's scope
    classes: int  # number of classes
    # Whether each class is a channel of the images, all ones or all zeros; otherwise inputs are flattened to rows.
    planes: bool = False

    def setup(self) -> None:
        """Puts the network's parameters in this module's scope."""
        nn.share_scope(self, self.network)

    def __call__(
        self, x: Float[Array, "batch ..."], labels: Int[Array, " batch"] | None = None
    ) -> Float[Array, "batch ..."]:
        """Applies the network.

        Args:
          x: input of the network.
          labels: class of each example; None cycles through the classes, from class 0.
        """
        count = x.shape[0]
        labels = jnp.arange(count) % self.classes if labels is None else labels
        one_hot = jax.nn.one_hot(labels, self.classes, dtype=x.dtype)
        if self.planes:
            one_hot = jnp.broadcast_to(one_hot[:, None, None], (*x.shape[:-1], self.classes))
        else:
            x = x.reshape(count, -1)
        return self.network(jnp.concatenate([x, one_hot], axis=-1))
