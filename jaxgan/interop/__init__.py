"""Converts weights to PyTorch's names and layouts, and back, and Adam's moments; without PyTorch.

Arrays are NumPy arrays. Map ``torch.from_numpy`` over them for PyTorch. The conversion back accepts CPU tensors without
gradient, such as those of a ``state_dict``::

    twin.load_state_dict(jax.tree.map(torch.from_numpy, weights(state)))
    state = with_weights(state, twin.state_dict())

A name is the path of the layer, joined by dots, and then

======================================  =====================================  ==============================
jaxgan                                  PyTorch                                layout
======================================  =====================================  ==============================
``kernel`` of Dense                     ``weight``                             [in, out] to [out, in]
``kernel`` of Conv                      ``weight``                             [h, w, in, out] to [out, in, h, w]
``kernel`` of ConvTranspose             ``weight``                             [h, w, out, in] to [in, out, h, w]
``kernel`` under spectral normalization ``parametrizations.weight.original``   as for any kernel
its ``u`` and ``v``                     ``parametrizations.weight.0._u, ._v``  u the same; v [h w in] to [in h w]
``scale`` and ``bias``                  ``weight`` and ``bias``                the same
``mean`` and ``var``                    ``running_mean``, ``running_var``      the same
======================================  =====================================  ==============================

Both kinds of convolution use the same transposition, without a flip. A transposed convolution stores the kernel of the
convolution that it transposes, in both libraries.

``num_batches_tracked`` of PyTorch is ignored on input and absent from output. A strict ``load_state_dict`` accepts a
plain dictionary without it.

Output keeps the dtype. Input is cast to the dtype of the leaf that it replaces, as in ``load_state_dict``. So a round
trip is exact, and only float64 into a float32 state is rounded.

A fully connected layer on images flattens (height, width, channels) here, but (channels, height, width) after the usual
``flatten`` in PyTorch. For images of one channel both are the same.
"""

from jaxgan.interop.adam import Moments, adam_state
from jaxgan.interop.modules import from_state_dict, state_dict, weights, with_weights

__all__ = [
    "Moments",
    "adam_state",
    "from_state_dict",
    "state_dict",
    "weights",
    "with_weights",
]
