"""Where and how long a method runs: devices, the compiled program, the loop, checkpoints and what is shown."""
