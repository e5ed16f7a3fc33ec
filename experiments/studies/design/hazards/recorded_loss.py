"""Recorded loss: a number carried out of a program keeps the program alive.

A loss in PyTorch is a tensor with its autograd graph. A sum of losses over an epoch keeps the graphs of all steps
alive: the numbers are right, but memory grows until it is exhausted.

Inside a compiled JAX function, values are tracers without numbers. A side effect stores a tracer, which raises an error
when it is used.

Run:  python experiments/studies/design/hazards/recorded_loss.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # experiments/

import jax
import jax.numpy as jnp
from imperative.requirements import torch
from studies.design.hazards import FUNCTIONAL, IMPERATIVE, Pair, batches, method, show, start, to_torch, twin

from jaxgan.methods.losses import real_loss


def imperative(add):
    """Trains the discriminator, and sums its losses for the mean of the epoch."""
    gan, total, nodes = twin(), 0.0, []
    for images in map(to_torch, batches()):
        gan.discriminator_optimizer.zero_grad()
        loss = gan.discriminator_loss(images, gan.draw_latents(len(images)))["discriminator_loss"]
        loss.backward()
        gan.discriminator_optimizer.step()
        total = add(total, loss)
        nodes.append(graph_size(total))
    return {"graph nodes alive": nodes, "mean loss": torch.as_tensor(total).item() / len(nodes)}


def imperative_right(total, loss):
    """Adds the number."""
    return total + loss.item()


def imperative_wrong(total, loss):
    """Adds the tensor."""
    return total + loss


def graph_size(value):
    """Counts the nodes of the autograd graph that a value keeps alive."""
    seen, waiting = set(), [getattr(value, "grad_fn", None)]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [child for child, _ in node.next_functions]
    return len(seen)


def functional(record):
    """Records the loss of an untrained discriminator on each batch."""
    params, module = start().discriminator.params, method().networks["discriminator"].module
    losses = record(lambda images: real_loss(module.apply({"params": params}, images)))
    return {"loss of D on real images": jnp.stack(losses)}


def functional_right(loss):
    """Records return values of the compiled function."""
    losses, compiled = [], jax.jit(loss)
    for images in batches():
        losses.append(compiled(images))
    return losses


def functional_wrong(loss):
    """Records inside of the compiled function."""
    losses, compiled = [], jax.jit(lambda images: losses.append(loss(images)))
    for images in batches():
        compiled(images)
    return losses


PAIRS = (
    Pair(IMPERATIVE, imperative, imperative_right, imperative_wrong),
    Pair(FUNCTIONAL, functional, functional_right, functional_wrong),
)

if __name__ == "__main__":
    show(__doc__, PAIRS)
