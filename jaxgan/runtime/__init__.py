"""Executes training steps: devices, processes, the compiled program and its inputs. It opens no files."""
