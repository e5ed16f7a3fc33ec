from flax import linen as nn

from jaxgan.methods import build
from jaxgan.methods.method import Network
from jaxgan.methods.vanilla_gan import VanillaGAN
from jaxgan.runs.console import layers, step_cost

SHAPE = (28, 28, 1)


def test_layers_are_listed_in_order_of_use_with_shapes_and_parameters():
    networks = build(VanillaGAN(hidden_layers=2), image_shape=SHAPE).networks
    assert [tuple(layer) for layer in layers(networks["generator"], batch_size=64)] == [
        ("hidden_0", (64, 100), 2_100),
        ("hidden_1", (64, 100), 10_100),
        ("output", (64, 784), 79_184),
    ]
    assert [tuple(layer) for layer in layers(networks["discriminator"], batch_size=7)] == [
        ("hidden_0", (7, 100), 78_400),
        ("hidden_1", (7, 100), 10_000),
        ("output", (7, 1), 101),
    ]


class Loose(nn.Module):
    @nn.compact
    def __call__(self, z):
        scale = self.param("scale", nn.initializers.ones, (3,))
        return nn.Dropout(0.5, deterministic=True)(nn.Dense(2, name="dense")(z * scale))


def test_layers_without_parameters_and_bare_parameters_are_listed():
    found = {layer.name: layer.parameters for layer in layers(Network(Loose(), (3,)), batch_size=4)}
    assert found == {"dense": 8, "Dropout_0": 0, "scale": 3}


def test_the_cost_of_a_step_counts_at_least_its_matrix_products():
    cost = step_cost(build(VanillaGAN(), image_shape=SHAPE), image_shape=SHAPE, batch_size=64)
    wide, deep = 784 * 100, 20 * 100
    # Generator: two passes and the gradients of one; discriminator: 128 and 64 images, gradients of the first's weights
    # and of the second's images. Last layer's products are small.
    products = 2 * 64 * (2 * (wide + deep) + 2 * wide + deep + 2 * wide + 2 * wide + 2 * wide)
    assert products < cost.flops < 1.1 * products
    state_bytes = 4 * 3 * (81_284 + 78_501)
    assert state_bytes < cost.argument_bytes < 1.3 * state_bytes
    assert cost.temporary_bytes > 0
