"""jaxgan: the textbook chapter on generative models, as pure functions in JAX and Flax."""
