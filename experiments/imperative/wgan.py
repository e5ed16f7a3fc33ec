"""The Wasserstein GAN with gradient penalty in PyTorch; its functional twin is `experiments/wgan.py`.

Run:       python experiments/imperative/wgan.py        (--help lists every flag)
Read:      this file for the critic's loss and the step, dcgan.py for the networks, training.py for the loop
Time:      15 min on two CPU cores
Expect:    an estimate and digits like those of its functional twin, with different random numbers
Writes:    runs/imperative/wgan/ with metrics.jsonl, checkpoint.pt and samples.npz
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from imperative.dcgan import Discriminator, Generator
from imperative.gan import frozen
from imperative.requirements import torch
from imperative.training import Options, main

nn, Tensor = torch.nn, torch.Tensor


class WGAN(nn.Module):
    """A generator, and a critic that estimates the Wasserstein distance between generated and real images.

    Attributes:
      generator: maps latents to images in [-1, 1].
      discriminator: the critic, which maps images to values; all methods use this name.
      critic_steps: critic updates per generator update, each on a new real batch and new latents.
    """

    def __init__(
        self,
        *,
        latent_size: int = 100,
        width: int = 32,
        channels: int = 1,
        critic_steps: int = 5,
        penalty_weight: float = 10.0,
        device: str = "cpu",
        tuned: bool = False,
        compiled: bool | str = False,
    ):
        super().__init__()
        if compiled:
            raise NotImplementedError("torch.compile cannot differentiate twice, as the gradient penalty needs")
        self.generator = Generator(latent_size, width, channels).to(device)
        norm = partial(nn.InstanceNorm2d, affine=True)
        self.discriminator = Discriminator(width, channels, norm=norm).to(device)
        self.latent_size, self.device, self.tuned = latent_size, device, tuned
        self.critic_steps, self.penalty_weight = critic_steps, penalty_weight
        self.generator_optimizer, self.discriminator_optimizer = (
            torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.9), fused=tuned)
            for network in (self.generator, self.discriminator)
        )

    def draw_latents(self, count: int) -> Tensor:
        """Draws latents from N(0, I)."""
        return torch.randn(count, self.latent_size, device=self.device)

    def draw_epsilon(self, count: int) -> Tensor:
        """Draws interpolation weights between real and generated images from U[0, 1)."""
        return torch.rand(count, 1, 1, 1, device=self.device)

    def gradient_penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Lambda E[(|grad f(x)| - 1)^2] at points x between real and generated images (Gulrajani et al. 2017)."""
        points = torch.lerp(real, fake, self.draw_epsilon(len(real))).requires_grad_()
        (gradients,) = torch.autograd.grad(self.discriminator(points).sum(), points, create_graph=True)
        return self.penalty_weight * (gradients.flatten(1).norm(dim=1) - 1).square().mean()

    def train_step(self, images: Tensor, step: int) -> dict[str, Tensor]:
        """Updates the critic and, every ``critic_steps`` steps, the generator against the updated critic.

        Args:
          images: a real batch in [-1, 1], [batch, channels, height, width].
          step: number of previous steps.

        Returns:
          The metrics of the step.
        """
        self.discriminator_optimizer.zero_grad()
        with frozen(self.generator), torch.set_grad_enabled(not self.tuned):
            generated = self.generator(self.draw_latents(len(images))).detach()
        if self.tuned:
            real, fake = self.discriminator(torch.cat([images, generated])).chunk(2)
        else:
            real, fake = self.discriminator(images), self.discriminator(generated)
        penalty = self.gradient_penalty(images, generated)
        loss = fake.mean() - real.mean() + penalty
        loss.backward()
        self.discriminator_optimizer.step()

        if (step + 1) % self.critic_steps == 0:
            self.generator_optimizer.zero_grad()
            with frozen(self.discriminator, gradients=not self.tuned):
                (-self.discriminator(self.generator(self.draw_latents(len(images)))).mean()).backward()
            self.generator_optimizer.step()
        with torch.no_grad():
            real_mean, fake_mean = real.mean(), fake.mean()
            return {
                "discriminator_loss": loss.detach(),
                "discriminator_loss_real": -real_mean,
                "discriminator_loss_fake": fake_mean,
                "gradient_penalty": penalty.detach(),
                "wasserstein_estimate": real_mean - fake_mean,
                "generator_loss": -fake_mean,
            }

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Draws images in evaluation mode."""
        self.generator.eval()
        images = self.generator(self.draw_latents(count))
        self.generator.train()
        return images


if __name__ == "__main__":
    main(WGAN, Options(workdir=Path("runs/imperative/wgan"), epochs=15))
