"""How images are computed: layers and networks, with nothing that trains."""
