"""The hazards of gradients in PyTorch: those that are left over, that go too far, and whose graph is kept."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from imperative.gan import GAN
from imperative.requirements import torch
from imperative.vanilla_gan import vanilla_gan

from comparing.hazards.imperative_runs import seeded, train, with_step
from comparing.hazards.pairs import Pair, Quantities, Setting

nn, Tensor = torch.nn, torch.Tensor


def zeroed(twin: GAN, images: Tensor) -> dict[str, Tensor]:
    """The twin's step, written out."""
    twin.discriminator_optimizer.zero_grad()
    metrics = twin.discriminator_loss(images, twin.draw_latents(len(images)))
    metrics["discriminator_loss"].backward()
    twin.discriminator_optimizer.step()

    twin.generator_optimizer.zero_grad()
    metrics["generator_loss"] = twin.generator_loss(twin.draw_latents(len(images)))
    metrics["generator_loss"].backward()
    twin.generator_optimizer.step()
    return metrics


def not_zeroed(twin: GAN, images: Tensor) -> dict[str, Tensor]:
    """The same; the discriminator goes on from all of its gradients so far, also those of the generator's passes."""
    metrics = twin.discriminator_loss(images, twin.draw_latents(len(images)))
    metrics["discriminator_loss"].backward()
    twin.discriminator_optimizer.step()

    twin.generator_optimizer.zero_grad()
    metrics["generator_loss"] = twin.generator_loss(twin.draw_latents(len(images)))
    metrics["generator_loss"].backward()
    twin.generator_optimizer.step()
    return metrics


def detached(twin: GAN, count: int) -> Tensor:
    """Images for the discriminator, whose loss is none of the generator's business."""
    return twin.generator(twin.draw_latents(count)).detach()


def attached(twin: GAN, count: int) -> Tensor:
    """The same images with their graph."""
    return twin.generator(twin.draw_latents(count))


def judge(twin: GAN, images: Tensor, generated: Tensor) -> dict[str, Tensor]:
    """The discriminator's loss on a real and a generated batch."""
    real, fake = twin.discriminator(images), twin.discriminator(generated)
    loss = twin.criterion(real, torch.ones_like(real)) + twin.criterion(fake, torch.zeros_like(fake))
    return {"discriminator_loss": loss, "real_probability": real.detach().sigmoid().mean()}


def backward(loss: Tensor, bystander: nn.Module) -> Tensor:
    """Makes a backward pass, and measures the gradient that it leaves in a network that it should pass by."""
    before = gradient(bystander)
    loss.backward()
    return (gradient(bystander) - before).norm()


def gradient(network: nn.Module) -> Tensor:
    """The gradients that a network holds, in one vector."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in network.parameters()])


def zeroed_together(twin: GAN, images: Tensor, draw: Callable) -> dict[str, Tensor]:
    """A step that zeroes both gradients at its beginning."""
    twin.discriminator_optimizer.zero_grad()
    twin.generator_optimizer.zero_grad()
    metrics = judge(twin, images, draw(twin, len(images)))
    metrics["stray_gradient"] = backward(metrics["discriminator_loss"], twin.generator)
    twin.discriminator_optimizer.step()
    metrics["generator_loss"] = twin.generator_loss(twin.draw_latents(len(images)))
    metrics["generator_loss"].backward()
    twin.generator_optimizer.step()
    return metrics


def zeroed_in_turn(twin: GAN, images: Tensor, draw: Callable) -> dict[str, Tensor]:
    """A step in the twin's order: each gradient is zeroed right before its own pass."""
    twin.discriminator_optimizer.zero_grad()
    metrics = judge(twin, images, draw(twin, len(images)))
    metrics["stray_gradient"] = backward(metrics["discriminator_loss"], twin.generator)
    twin.discriminator_optimizer.step()
    twin.generator_optimizer.zero_grad()
    metrics["generator_loss"] = twin.generator_loss(twin.draw_latents(len(images)))
    metrics["generator_loss"].backward()
    twin.generator_optimizer.step()
    return metrics


def one_batch_for_both(twin: GAN, images: Tensor, share: Callable) -> dict[str, Tensor]:
    """A step that judges the same generated batch in both updates."""
    twin.discriminator_optimizer.zero_grad()
    generated = twin.generator(twin.draw_latents(len(images)))
    metrics = judge(twin, images, share(generated))
    metrics["discriminator_loss"].backward()
    twin.discriminator_optimizer.step()
    twin.generator_optimizer.zero_grad()
    fake = twin.discriminator(generated)
    metrics["generator_loss"] = twin.criterion(fake, torch.ones_like(fake))
    metrics["generator_loss"].backward()
    twin.generator_optimizer.step()
    return metrics


def share_detached(generated: Tensor) -> Tensor:
    """The shared batch, as the discriminator's update may see it."""
    return generated.detach()


def share_attached(generated: Tensor) -> Tensor:
    """The shared batch with its graph, which the discriminator's backward pass uses up."""
    return generated


def with_draw(order: Callable) -> Callable[[Setting, Callable], Quantities]:
    """Trains the vanilla GAN by a step of some order, with a way of handing over generated images."""
    return seeded(lambda setting, draw: train(setting, vanilla_gan(), step=partial(order, draw=draw)))


@seeded
def with_shared(setting: Setting, share: Callable) -> Quantities:
    """Trains the vanilla GAN on one generated batch a step."""
    return train(setting, vanilla_gan(), step=partial(one_batch_for_both, share=share))


@seeded
def with_sum(setting: Setting, add: Callable) -> Quantities:
    """Trains the vanilla GAN and adds up the losses, for a mean over the epoch."""
    total = torch.zeros(())

    def step(twin: GAN, images: Tensor) -> dict[str, Tensor]:
        nonlocal total
        metrics = zeroed(twin, images)
        total = add(total, metrics["generator_loss"])
        return metrics

    found = train(setting, vanilla_gan(), step=step)
    return {**found, "nodes of autograd's graph kept alive": np.array(graph_size([total.grad_fn]))}


def add_detached(total: Tensor, loss: Tensor) -> Tensor:
    """Adds the value of a loss."""
    return total + loss.detach()


def add_attached(total: Tensor, loss: Tensor) -> Tensor:
    """Adds a loss with the graph that made it."""
    return total + loss


def graph_size(roots: Sequence[object]) -> int:
    """Counts the nodes that autograd keeps for some results."""
    seen, waiting = set(), [node for node in roots if node is not None]
    while waiting:
        if (node := waiting.pop()) not in seen:
            seen.add(node)
            waiting += [child for child, _ in node.next_functions if child is not None]
    return len(seen)


PAIRS = {
    "zero_grad": (Pair("a step without it for the discriminator", with_step, zeroed, not_zeroed),),
    "detach": (
        Pair("both `zero_grad()` at the top of the step", with_draw(zeroed_together), detached, attached),
        Pair("each `zero_grad()` right before its pass, as in the twin", with_draw(zeroed_in_turn), detached, attached),
        Pair("one generated batch for both updates", with_shared, share_detached, share_attached),
    ),
    "tracer": (Pair("losses added up over the epoch", with_sum, add_detached, add_attached),),
}
