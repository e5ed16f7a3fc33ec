"""What a run is on disk: its folder, its checkpoints, its logs, and the loop that writes them."""
