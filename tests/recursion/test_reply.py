"""rlm_mcp.recursion.reply: code is what stands in fences, and nothing else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_mcp.recursion.reply import code_of


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("```repl\nx = 1\n```", "x = 1"),
        ("```python\nx = 1\n```", "x = 1"),
        ("```Python title='a'\nx = 1\n```", "x = 1"),
        ("```py\nx = 1\n```", "x = 1"),
        ("```{python}\nx = 1\n```", "x = 1"),
        ("```\nx = 1\n```", "x = 1"),
        ("~~~repl\nx = 1\n~~~", "x = 1"),
        ("````repl\nx = '''\n```\n'''\n````", "x = '''\n```\n'''"),
        ("words\n\n   ```repl\n   if x:\n       y\n   ```\nmore", "if x:\n    y"),
        ("```repl\r\nx = 1\r\ny = 2\r\n```\r\n", "x = 1\ny = 2"),
        ("```repl\nx = 1\n```\nand then\n```repl\ny = 2\n```", "x = 1\ny = 2"),
        ("```json\n{}\n```\n```repl\nx = 1\n```", "x = 1"),
        ("```repl\nprint(1)\n```\nwhich prints\n```\n1\n```", "print(1)"),
        ("```bash\nls\n```", ""),
        ("```text\nFINAL(1)\n```", ""),
        ("FINAL(1)", ""),
        ("`FINAL(1)`", ""),
        ("```FINAL(1)```", ""),
        ("``` repl\nx = 1\n ```", "x = 1"),
        ("```repl\n\n```", ""),
        ("``repl\nx\n``", ""),
    ],
)
def test_code_is_what_stands_in_fences(said: str, code: str) -> None:
    """Named ones first; unnamed ones where there is no other; other languages never."""
    assert code_of(said).text == code
    assert not code_of(said).is_open


def test_a_fence_in_a_string_does_not_end_the_block() -> None:
    """A prompt may show one, if it closes it."""
    code = 'p = """Answer as\n```json\n{"a": 1}\n```\nplease"""\nx = llm_query(p)'
    assert code_of(f"```repl\n{code}\n```\nbye").text == code


def test_a_block_that_is_never_closed_is_open() -> None:
    """It counts as code all the same."""
    found = code_of("so:\n```repl\nx = 1\ny = 2")
    assert (found.text, found.is_open) == ("x = 1\ny = 2", True)
    assert code_of("```repl\nx = 1\n```json\n{}\n```\nrest").text == "x = 1\n```json\n{}"


@given(st.text(alphabet="`~ \n\tabrepl(){}", max_size=400))
def test_any_reply_has_its_code_found(said: str) -> None:
    """Nothing raises, and what is found stands in the reply."""
    for line in code_of(said).text.split("\n"):
        assert line in said


def test_long_lines_cost_no_more_than_their_length() -> None:
    """Blanks and backticks by the hundred thousand."""
    started = time.process_time()
    for line in ("```" + " " * 300_000 + "`", " " * 300_000 + "```x", "`" * 300_000, ("```\n" * 50_000)):
        code_of(line)
    assert time.process_time() - started < 5
