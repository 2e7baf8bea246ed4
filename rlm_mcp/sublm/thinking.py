"""A reply without the thinking that some models write before it, where their endpoint does not take it off.

Seen from Qwen 3, DeepSeek-R1 and their kin behind Ollama, llama.cpp and vLLM without a reasoning parser: a leading
``<think>`` block, or its end alone where the chat template has opened it already.
Source: https://huggingface.co/Qwen/Qwen3-8B and https://huggingface.co/deepseek-ai/DeepSeek-R1 (their chat templates).
"""

from __future__ import annotations

import re

_OPENED = re.compile(r"\s*<(think|thinking|reasoning)>", re.IGNORECASE)
_LONE_END = re.compile(r"^[ \t]*</think>[ \t\r]*$", re.MULTILINE)


def without_thinking(text: str) -> str:
    """What is said behind the thinking; empty where the thinking never ends. Other text stays as it is."""
    said = text
    while opened := _OPENED.match(said):
        end = re.compile(f"</{opened[1]}>", re.IGNORECASE).search(said, opened.end())
        if end is None:
            return ""
        said = said[end.end() :]
    lone = _LONE_END.search(said) if said is text else None
    if lone is not None and "<think>" not in said[: lone.start()]:
        said = said[lone.end() :]
    return text if said is text else said.lstrip()
