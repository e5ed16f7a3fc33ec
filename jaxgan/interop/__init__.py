"""Weights and Adam's moments under PyTorch's names and in its layouts, and back; PyTorch itself is not needed.

Arrays are NumPy's on this side. A caller who has PyTorch maps ``torch.from_numpy`` over what goes out, and may hand
over tensors as they are, if they lie in main memory and ask for no gradient, as those of a ``state_dict`` do::

    twin.load_state_dict(jax.tree.map(torch.from_numpy, weights(state)))
    state = with_weights(state, twin.state_dict())

The correspondence is by name: the path of a layer, joined by dots, and then

======================================  =====================================  ==============================
here                                    there                                  layout
======================================  =====================================  ==============================
``kernel`` of Dense                     ``weight``                             [in, out] to [out, in]
``kernel`` of Conv                      ``weight``                             [h, w, in, out] to [out, in, h, w]
``kernel`` of ConvTranspose             ``weight``                             [h, w, out, in] to [in, out, h, w]
``kernel`` under spectral normalization ``parametrizations.weight.original``   as for any kernel
its ``u`` and ``v``                     ``parametrizations.weight.0._u, ._v``  u the same; v [h w in] to [in h w]
``scale`` and ``bias``                  ``weight`` and ``bias``                the same
``mean`` and ``var``                    ``running_mean``, ``running_var``      the same
======================================  =====================================  ==============================

Both kinds of convolution take the same transposition, and no flip. A transposed layer keeps, here as in PyTorch, the
kernel of the convolution that it is the transpose of; it is flipped only where it is computed.

``num_batches_tracked``, a count that PyTorch keeps and nothing here needs, is passed over on the way in and left out on
the way out; even a strict ``load_state_dict`` takes a plain dictionary without it.

Numbers keep their type on the way out. On the way in they take the type of what they replace, as in
``load_state_dict``. So a round trip is exact in either precision, and only float64 into a float32 state is rounded.

A fully connected layer that reads or makes images runs over (height, width, channels) here and, after the usual
``flatten``, over (channels, height, width) in PyTorch. For images of one channel that is the same.
"""

from jaxgan.interop.adam import Moments, adam_by_name, adam_by_position, adam_state, with_adam_state
from jaxgan.interop.modules import from_state_dict, state_dict, weights, with_weights

__all__ = [
    "Moments",
    "adam_by_name",
    "adam_by_position",
    "adam_state",
    "from_state_dict",
    "state_dict",
    "weights",
    "with_adam_state",
    "with_weights",
]
