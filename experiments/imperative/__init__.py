"""The same programs in imperative style: in PyTorch, and two of them in Flax NNX.

Each method is one script. It imports the class with its losses (`gan`, `nnx_gan`) and the training loop (`training`,
`nnx_training`). From jaxgan these files import only data and one-line errors. Layers have the same names as in jaxgan,
so a state_dict fits. `parity` trains a twin and our method from the same weights, images and random numbers.
"""
