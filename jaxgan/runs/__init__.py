"""Runs on disk: the working directory, its checkpoints and logs, and the training loop that writes them."""
