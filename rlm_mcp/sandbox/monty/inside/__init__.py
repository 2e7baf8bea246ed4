"""What a Cell sees where Monty runs it. The host never runs this: ``..repl`` gives the texts to Monty.

Its modules run in one namespace of their own, apart from that of the Cells; lines that import from this package
are left out. It must be Python that Monty 1.4 runs: no inheritance, no decorators on methods (so no properties: what is
an attribute has to be there before it is asked for), no generators, no ``del``; ``len()`` and truth ask no instance;
special methods and ``key=`` functions cannot call the host. Source: docs/limitations of github.com/pydantic/monty.
"""
