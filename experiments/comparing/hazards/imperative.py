"""The hazards in PyTorch: the twins, with one mistake at a time put in."""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from imperative.dcgan import dcgan
from imperative.gan import GAN
from imperative.requirements import torch
from imperative.training import on_device
from imperative.vanilla_gan import vanilla_gan

from comparing.hazards.pairs import Pair, Quantities, Setting

nn, Tensor = torch.nn, torch.Tensor

RECORDED = {"discriminator_loss": "loss of D", "generator_loss": "loss of G", "real_probability": "D(x) in training"}
RECORDED |= {"stray_gradient": "gradient left in G by the loss of D"}


def own_step(twin: GAN, images: Tensor) -> dict[str, Tensor]:
    """The twin's own step."""
    return twin.train_step(images, 0)


def no_look(twin: GAN) -> None:
    """Trains without looking at samples on the way."""


def train(
    setting: Setting, twin: GAN, *, step: Callable = own_step, look: Callable[[GAN], object] = no_look
) -> dict[str, np.ndarray]:
    """Trains a twin.

    Args:
      setting: on what, and for how long.
      twin: what is trained.
      step: from (twin, images) to metrics.
      look: what is done on the way, every ``setting.look_every`` steps.

    Returns:
      Losses and D(x) of every step, and samples of the trained twin, from latents that depend on the seed alone.
    """
    rows = []
    for number, images in enumerate(setting.batches()):
        metrics = step(twin, channels_first(images))
        rows.append({title: float(metrics[name]) for name, title in RECORDED.items() if name in metrics})
        if setting.looks(number):
            look(twin)
    torch.manual_seed(setting.seed + 1)
    series = {title: np.array([row[title] for row in rows]) for title in rows[0]}
    return {**series, "samples": pictures(twin.sample(setting.count))}


def channels_first(images: np.ndarray) -> Tensor:
    """Images in the order of axes that PyTorch's layers take."""
    return on_device(images, "cpu")


def pictures(images: Tensor) -> np.ndarray:
    """Images with channels last."""
    return images.detach().permute(0, 2, 3, 1).numpy()


def small_dcgan(setting: Setting) -> GAN:
    """A narrow DCGAN, for its batch statistics."""
    return dcgan(width=setting.width)


def seeded(run: Callable[[Setting, Callable], Quantities]) -> Callable[[Setting, Callable], Quantities]:
    """Runs a program on the global stream of random numbers from the seed on, and leaves that stream as it was."""

    def alone(setting: Setting, piece: Callable) -> Quantities:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setting.seed)
            return run(setting, piece)

    return alone


@seeded
def with_step(setting: Setting, step: Callable) -> Quantities:
    """Trains the vanilla GAN with a step of one's own."""
    return train(setting, vanilla_gan(), step=step)


@seeded
def with_look(setting: Setting, look: Callable) -> Quantities:
    """Trains the vanilla GAN and looks at samples on the way."""
    return train(setting, vanilla_gan(), look=look)


@seeded
def with_look_at_dcgan(setting: Setting, look: Callable) -> Quantities:
    """Trains a DCGAN and looks at samples on the way."""
    return train(setting, small_dcgan(setting), look=look)


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
def judged(setting: Setting, probabilities: Callable) -> Quantities:
    """Trains the vanilla GAN, then asks its discriminator about images of the data."""
    twin = vanilla_gan()
    train(setting, twin)
    images = channels_first(next(setting.batches()))
    return {"D(x), by image": probabilities(twin, images).numpy()}


def in_evaluation_mode(twin: GAN, images: Tensor) -> Tensor:
    """What the discriminator takes each image for."""
    twin.discriminator.eval()
    with torch.no_grad():
        return twin.discriminator(images).sigmoid()


def in_training_mode(twin: GAN, images: Tensor) -> Tensor:
    """The same with half of its units dropped, others for every image."""
    with torch.no_grad():
        return twin.discriminator(images).sigmoid()


@seeded
def with_glance(setting: Setting, glance: Callable) -> Quantities:
    """Trains the vanilla GAN and asks its discriminator about images on the way."""
    images = channels_first(next(setting.batches()))
    return train(setting, vanilla_gan(), look=partial(glance, images=images))


def back_to_training(twin: GAN, images: Tensor) -> Tensor:
    """What the discriminator takes each image for, in the midst of training."""
    twin.discriminator.eval()
    with torch.no_grad():
        probabilities = twin.discriminator(images).sigmoid()
    twin.discriminator.train()
    return probabilities


def still_in_evaluation(twin: GAN, images: Tensor) -> Tensor:
    """The same; training goes on without dropout."""
    twin.discriminator.eval()
    with torch.no_grad():
        probabilities = twin.discriminator(images).sigmoid()
    return probabilities


def sample_in_evaluation_mode(twin: GAN) -> Tensor:
    """A look at samples."""
    twin.generator.eval()
    with torch.no_grad():
        images = twin.generator(twin.draw_latents(16))
    twin.generator.train()
    return images


def sample_in_training_mode(twin: GAN) -> Tensor:
    """A look that the running statistics follow."""
    with torch.no_grad():
        images = twin.generator(twin.draw_latents(16))
    return images


def on_a_stream_apart(twin: GAN) -> Tensor:
    """A look at one sample that leaves the global stream where it was."""
    with torch.random.fork_rng(devices=[]):
        return twin.sample(1)


def on_the_global_stream(twin: GAN) -> Tensor:
    """A look at one sample; all noise after it is another one."""
    return twin.sample(1)


def seeded_apart(twin: GAN) -> Tensor:
    """A look at the same latents every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return twin.sample(16)


def seeded_globally(twin: GAN) -> Tensor:
    """The same; the noise of training begins anew each time too."""
    torch.manual_seed(0)
    return twin.sample(16)


@seeded
def drawn_after(setting: Setting, program: Callable) -> Quantities:
    """Draws from the vanilla GAN before and after training."""
    twin = vanilla_gan()
    return {"samples": pictures(program(twin, partial(train, setting), setting))}


def called_by_name(twin: GAN, train: Callable, setting: Setting) -> Tensor:
    """Asks the twin for samples each time."""
    twin.sample(setting.count)
    train(twin)
    return twin.sample(setting.count)


def bound_before_training(twin: GAN, train: Callable, setting: Setting) -> Tensor:
    """Keeps the function that draws; it refers to the twin, so to its present weights."""
    draw = twin.sample
    draw(setting.count)
    train(twin)
    return draw(setting.count)


def kept_as_a_copy(twin: GAN, train: Callable, setting: Setting) -> Tensor:
    """Keeps the weights, trains on, and goes back to them."""
    kept = copy.deepcopy(twin.generator.state_dict())
    train(twin)
    twin.generator.load_state_dict(kept)
    return twin.sample(setting.count)


def kept_as_a_reference(twin: GAN, train: Callable, setting: Setting) -> Tensor:
    """The same; what was kept trained on, too."""
    kept = twin.generator.state_dict()
    train(twin)
    twin.generator.load_state_dict(kept)
    return twin.sample(setting.count)


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
    "eval": (
        Pair("D(x) measured after training", judged, in_evaluation_mode, in_training_mode),
        Pair("`train()` forgotten after it", with_glance, back_to_training, still_in_evaluation),
    ),
    "statistics": (
        Pair("looks at 16 samples", with_look_at_dcgan, sample_in_evaluation_mode, sample_in_training_mode),
    ),
    "stream": (Pair("looks at one sample", with_look, on_a_stream_apart, on_the_global_stream),),
    "key": (Pair("looks at fixed latents, by `manual_seed`", with_look, seeded_apart, seeded_globally),),
    "closure": (
        Pair("a bound method, kept from before training", drawn_after, called_by_name, bound_before_training),
        Pair("weights kept to go back to", drawn_after, kept_as_a_copy, kept_as_a_reference),
    ),
    "tracer": (Pair("losses added up over the epoch", with_sum, add_detached, add_attached),),
}
