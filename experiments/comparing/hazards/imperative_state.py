"""The hazards of what PyTorch's objects remember: modes, running statistics, the stream of random numbers, weights."""

import copy
from collections.abc import Callable
from functools import partial

from imperative.gan import GAN
from imperative.requirements import torch
from imperative.vanilla_gan import vanilla_gan

from comparing.hazards.imperative_runs import channels_first, pictures, seeded, train, with_look, with_look_at_dcgan
from comparing.hazards.pairs import Pair, Quantities, Setting

Tensor = torch.Tensor


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


PAIRS = {
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
}
