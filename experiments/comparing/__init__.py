"""The parts of `functional_vs_imperative.py`: each measures one thing of both designs and writes its section.

A part is a module, named in `options.PARTS`, with three functions: ``measure(options)`` gives plain data, which the
JSON file keeps; ``section(measured)`` writes it as Markdown, from its ``##`` heading on; and ``summary(measured)``
gives its rows of the first table (`designs.Row`).
"""
