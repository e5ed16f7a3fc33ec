"""The same programs in imperative style: in PyTorch, and two of them in Flax NNX.

Each method is one file that runs alone, beside the class that holds its losses (`gan`, `nnx_gan`) and the loop that
trains it (`training`, `nnx_training`). Of jaxgan these files import the data and the one-line errors, nothing else.
Layers have the names of ours, so a state_dict fits. `parity` trains a twin and our method from the same weights, images
and random numbers.
"""
