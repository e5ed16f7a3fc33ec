"""Weights under PyTorch's names and in its layouts, and back, and Adam's moments; without PyTorch.

Arrays are NumPy's. Map ``torch.from_numpy`` over them for PyTorch. The way back takes tensors in main memory that need
no gradient, such as those of a ``state_dict``::

    twin.load_state_dict(jax.tree.map(torch.from_numpy, weights(state)))
    state = with_weights(state, twin.state_dict())

Names correspond: the path of a layer, joined by dots, and then

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

Both kinds of convolution use the same transposition, without a flip. A transposed layer stores the kernel of the
convolution that it transposes, here as in PyTorch.

``num_batches_tracked`` of PyTorch is ignored on the way in and absent on the way out. A strict ``load_state_dict``
accepts a plain dictionary without it.

Numbers keep their type on the way out. On the way in they take the type of the leaf that they replace, as in
``load_state_dict``. So a round trip is exact, and only float64 into a float32 state is rounded.

A fully connected layer on images runs over (height, width, channels) here. After the usual ``flatten`` it runs over
(channels, height, width) in PyTorch. For images of one channel both are the same.
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
