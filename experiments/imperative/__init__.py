"""The same programs in imperative style: in PyTorch, and the first two of them in Flax NNX.

They stand alone: of jaxgan they import the data, with its one-line errors, and `parity` the conversion of weights.
Layers have the names of ours, so that a state_dict fits. Modules of this package are imported as `imperative.…`, also
when one is run as a script.
"""
