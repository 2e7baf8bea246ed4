"""Definitions that an edit adds."""

import pytest

from rlm_mcp.facts.symbols import added_symbols, removed_symbols, symbols_in


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        (
            "a.py",
            (
                "class Cart:\n"
                "    async def total(self) -> int:\n"
                "        return 1\n"
                "\n"
                "def main():\n"
                "    pass\n"
                "x = 1\n"
            ),
            ["Cart", "total", "main"],
        ),
        (
            "a.ts",
            (
                "export interface Cart {\n  total: number;\n}\nexport type Rate = number;\nexport enum Kind { A }\n"
                "export async function load(): Promise<void> {\n}\n"
                "export const useCart = (id: string) => {\n  if (id) {\n  }\n};\n"
                "class Store {\n  private async save(x: number): Promise<void> {\n  }\n}\nconst limit = 3;\n"
            ),
            ["Cart", "Rate", "Kind", "load", "useCart", "Store", "save"],
        ),
        (
            "a.go",
            (
                "type Cart struct {\n"
                "}\n"
                "\n"
                "func (c *Cart) Total() int {\n"
                "}\n"
                "func New[T any](x T) *Cart {\n"
                "}\n"
            ),
            ["Cart", "Total", "New"],
        ),
        (
            "a.rs",
            (
                "pub struct Cart;\n"
                "impl Cart {\n"
                "    pub(crate) async fn total(&self) -> u32 { 1 }\n"
                "}\n"
                "trait Rate {}\n"
                "enum Kind { A }\n"
            ),
            ["Cart", "total", "Rate", "Kind"],
        ),
        (
            "A.java",
            (
                "public final class Cart {\n"
                "    private static int total(int a) {\n"
                "        return run(a);\n"
                "    }\n"
                "}\n"
                "public interface Rate {}\n"
            ),
            ["Cart", "total", "Rate"],
        ),
        (
            "a.kt",
            (
                "data class Cart(val a: Int)\n"
                "suspend fun total(a: Int): Int = 1\n"
                "object Rates\n"
            ),
            ["Cart", "total", "Rates"],
        ),
        (
            "a.cs",
            (
                "public record Cart(int A);\n"
                "public class Shop\n"
                "{\n"
                "    public async Task<int> Total(int a)\n"
                "    {\n"
                "    }\n"
                "}\n"
            ),
            ["Cart", "Shop", "Total"],
        ),
        (
            "a.rb",
            (
                "module Shop\n"
                "  class Cart\n"
                "    def total?\n"
                "    end\n"
                "    def self.load(x)\n"
                "    end\n"
                "  end\n"
                "end\n"
            ),
            ["Shop", "Cart", "total?", "load"],
        ),
        (
            "a.c",
            (
                "struct cart {\n"
                "};\n"
                "static int total(struct cart *c)\n"
                "{\n"
                "    return sum(c);\n"
                "}\n"
                "#define MAX(a, b) ((a) > (b))\n"
            ),
            ["cart", "total", "MAX"],
        ),
        ("a.cpp", "class Cart : public Base {\n};\nint Cart::total(int a) const {\n}\n", ["Cart", "Cart::total"]),
        ("a.sh", "build() {\n  echo\n}\nfunction deploy {\n}\n", ["build", "deploy"]),
        (
            "a.swift",
            (
                "public struct Cart {\n"
                "    func total() -> Int {\n"
                "    }\n"
                "}\n"
                "protocol Rate {}\n"
            ),
            ["Cart", "total", "Rate"],
        ),
        (
            "a.php",
            (
                "final class Cart {\n"
                "    public function total(): int\n"
                "    {\n"
                "    }\n"
                "}\n"
                "function helper() {}\n"
            ),
            ["Cart", "total", "helper"],
        ),
        (
            "a.ex",
            (
                "defmodule Shop.Cart do\n"
                "  def total(a), do: a\n"
                "  defp rate(a), do: a\n"
                "end\n"
            ),
            ["Shop.Cart", "total", "rate"],
        ),
        ("a.sql", "CREATE TABLE IF NOT EXISTS carts (\n id int\n);\n", ["carts"]),
        ("README.md", "def f():\nclass X\n", []),
    ],
)  # fmt: skip
def test_definitions_are_found_by_language(path: str, text: str, names: list[str]) -> None:
    """Functions, methods, classes and types; calls and values are none."""
    found = symbols_in(path, text)
    assert [symbol.name for symbol in found] == names
    assert all(text[symbol.start :].startswith(symbol.line) for symbol in found)


def test_what_was_there_before_is_not_added() -> None:
    """An edit that keeps a function adds nothing."""
    found, more = added_symbols("a.py", "def a():\n    return 2\ndef b():\n    pass\n", "def a():\n    return 1\n")
    assert ([symbol.name for symbol in found], more) == (["b"], 0)


def test_what_is_gone_is_named() -> None:
    """A rename removes the old name."""
    assert removed_symbols("a.py", "def new():\n", "def old():\n") == ["old"]
