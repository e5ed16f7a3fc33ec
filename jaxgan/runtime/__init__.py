"""How steps run: devices, processes, the compiled program and its inputs; it opens no file."""
