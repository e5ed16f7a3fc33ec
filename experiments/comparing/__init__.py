"""The parts of `functional_vs_imperative.py`: each measures one thing of both designs and writes its section."""
