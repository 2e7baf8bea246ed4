"""``python -m rlm_mcp``: the same as ``rlm-mcp``."""

from rlm_mcp.cli.main import main

if __name__ == "__main__":
    main()
