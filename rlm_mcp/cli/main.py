"""The command line, for people."""


def main() -> None:
    """Run the command line."""
