"""What a run would take on devices that are not here, and what is no such target."""

import math

import jax
import pytest

from jaxgan.errors import UserError
from jaxgan.methods import build
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runtime import targets
from jaxgan.runtime.devices import mapped_axis

IMAGES = (40, 6, 5, 1)


@pytest.mark.slow
def test_an_estimate_has_the_memory_and_the_roofline_of_a_device():
    on, target = jax.devices()[:2], targets.Target("v5e:1x2", "v5e", 2)
    method = build(VanillaGAN(latent_size=3, hidden_units=8), image_shape=IMAGES[1:], axis_name=mapped_axis(on))
    found = targets.estimate(method, target, on, images=IMAGES, batch_size=20)
    assert found.arguments > math.prod(IMAGES)
    _, carry = targets.lower_training(method, on, images=IMAGES, batch_size=20)
    state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(carry))
    assert found.least_seconds == pytest.approx(max(found.operations / 197e12, (2 * state + 10 * 30) / 819e9))
    assert target.memory == 16 * 2**30
    assert targets.parse_target("tpu7x:2x2x1").memory == 96 * 2**30


@pytest.mark.slow
def test_an_estimate_of_replicas_has_the_state_of_those_on_a_device():
    on, target = jax.devices()[:2], targets.Target("v5e:1x2", "v5e", 2)
    method = build(VanillaGAN(latent_size=3, hidden_units=8), image_shape=IMAGES[1:])
    _, carry = targets.lower_training(method, on[:1], images=IMAGES, batch_size=20)
    _, held = targets.lower_training(method, on, images=IMAGES, batch_size=20, replicas=2)
    assert jax.tree.map(lambda x: x.shape[1:], held) == jax.tree.map(lambda x: x.shape, carry)
    assert {x.shape[0] for x in jax.tree.leaves(held)} == {1}
    found = targets.estimate(method, target, on, images=IMAGES, batch_size=20, replicas=2)
    state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(carry))
    assert found.least_seconds == pytest.approx(max(found.operations / 197e12, (2 * state + 20 * 30) / 819e9))


def test_a_program_that_does_not_fit_is_refused(monkeypatch):
    class Full:
        def compile(self):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 481 G of 16 G")

    monkeypatch.setattr(targets, "lower_training", lambda *args, **how: (Full(), None))
    with pytest.raises(UserError, match=r"--target: 'v5e:1x1' cannot run this program \(RESOURCE_EXHAUSTED"):
        targets.estimate(None, targets.Target("v5e:1x1", "v5e", 1), (), images=IMAGES, batch_size=20)
    assert jax.config.values["jax_enable_compilation_cache"]
