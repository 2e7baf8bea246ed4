"""rlm_mcp: a coding assistant crosses its window limit with nothing lost."""

__version__ = "0.1.0"
