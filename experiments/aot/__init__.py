"""Parts of the ahead-of-time proof: targets, compiling for them, reading what came out, and the tables."""
