"""Statistics of the wrong pass: an extra forward pass changes the running statistics.

Batch normalization in training mode updates its running statistics with every batch, even under `torch.no_grad()`. A
pass of black images shifts the running mean and variance of all later evaluations.

In JAX, new statistics are a return value, which callers request with `mutable`. A pass in the wrong mode gives a wrong
output, but has no side effect.

Run:  python experiments/studies/design/hazards/statistics_of_the_wrong_pass.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # experiments/

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen
from imperative.requirements import torch
from studies.design.hazards import FUNCTIONAL, IMPERATIVE, LOOK_EVERY, Pair, batches, show, to_torch

from jaxgan.nn.layers import BatchNorm, Dense

REAL = next(batches())
BLACK = np.full_like(REAL, -1)


def imperative(look):
    """Trains a discriminator on spots and noise, passes black images, and measures logits in evaluation mode."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(64, 32), torch.nn.BatchNorm1d(32), torch.nn.ReLU(), torch.nn.Linear(32, 1)
    network, measured = torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.Flatten(0)), []
    adam, loss = torch.optim.Adam(network.parameters(), 1e-2), torch.nn.BCEWithLogitsLoss()
    for step, real in enumerate(map(to_torch, batches())):
        logits = network(torch.cat([real, torch.empty_like(real).uniform_(-1, 1)]))
        adam.zero_grad()
        loss(logits, torch.arange(len(logits)).lt(len(real)).float()).backward()
        adam.step()
        if (step + 1) % LOOK_EVERY == 0:
            look(network, to_torch(BLACK))
        network.eval()
        measured.append(network(to_torch(REAL)).mean().item())
        network.train()
    return {"mean logit of spots": measured}


def imperative_right(network, images):
    """Passes images in evaluation mode."""
    network.eval()
    with torch.no_grad():
        network(images)
    network.train()


def imperative_wrong(network, images):
    """Passes images in training mode, without gradients."""
    with torch.no_grad():
        network(images)


class Discriminator(linen.Module):
    """The same network, with layers of this package."""

    @linen.compact
    def __call__(self, images, *, train):
        """Computes a logit for each image."""
        h = Dense(32)(images.reshape(len(images), -1))
        return Dense(1)(linen.relu(BatchNorm()(h, train=train)))[:, 0]


def functional(look):
    """Runs the same training with parameters and statistics as values."""
    network, adam, spots = Discriminator(), optax.adam(1e-2), jnp.asarray(REAL)

    def loss(params, stats, real, key):
        both = jnp.concatenate([real, jax.random.uniform(key, real.shape, minval=-1)])
        variables = {"params": params, "batch_stats": stats}
        logits, new = network.apply(variables, both, train=True, mutable="batch_stats")
        targets = jnp.arange(len(both)) < len(real)
        return optax.sigmoid_binary_cross_entropy(logits, targets).mean(), new["batch_stats"]

    @jax.jit
    def step(variables, opt_state, real, number):
        params, stats = variables["params"], variables["batch_stats"]
        gradients, stats = jax.grad(loss, has_aux=True)(params, stats, real, jax.random.key(number))
        updates, opt_state = adam.update(gradients, opt_state)
        return {"params": optax.apply_updates(params, updates), "batch_stats": stats}, opt_state

    variables = network.init(jax.random.key(0), spots, train=False)
    evaluate = jax.jit(lambda variables: network.apply(variables, spots, train=False).mean())
    look, opt_state, measured = jax.jit(look), adam.init(variables["params"]), []
    for number, real in enumerate(batches()):
        variables, opt_state = step(variables, opt_state, real, number)
        if (number + 1) % LOOK_EVERY == 0:
            look(variables, BLACK)
        measured.append(evaluate(variables))
    return {"mean logit of spots": measured}


def functional_right(variables, images):
    """Passes images in evaluation mode."""
    return Discriminator().apply(variables, images, train=False)


def functional_wrong(variables, images):
    """Passes images in training mode."""
    return Discriminator().apply(variables, images, train=True)


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
