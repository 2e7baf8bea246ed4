"""The throwaway repository that the demo's recorded session works in: a small Python package with a rounding bug."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

_AUTHOR = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Mira"), ("EMAIL", "mira@parcel.example"))
}
_BASES = {"Z1": "3.49", "Z2": "4.19", "Z3": "4.85", "Z4": "5.125"}
_PER_100G = {"Z1": "0.18", "Z2": "0.225", "Z3": "0.29", "Z4": "0.375"}
_ISLANDS = (27498, 25849, 25859, 25938, 25946, 25980, 25997, 26465, 26474, 26486, 26548, 26571, 26579, 26757)
_TITLES = (
    "Scope",
    "Weights and measures",
    "Zones",
    "Discounts",
    "Islands and remote places",
    "Fuel surcharge",
    "Returns",
    "Insurance",
    "Customs",
    "Peak season",
    "Invoices",
    "Complaints",
)
_TERMS = {
    "Islands and remote places": ["5.1 The island fee is 4.90 per parcel, whatever its weight."],
    "Fuel surcharge": [
        "6.1 A fuel surcharge of 7.25 % is added to the freight price as of 2026-10-01.",
        "6.2 The surcharge is not added to the island fee of section 5 and not to insurance.",
        "6.3 Where the sender has a discount, the freight price is the price after the discount.",
        "6.4 The amount is rounded half up to the cent, once, at the end.",
    ],
}
_PROSE = (
    (
        "The carrier weighs every parcel at the first depot; where the weight found differs from the weight announced "
        "by more than 3 %, the weight found is charged."
    ),
    "Amounts are exclusive of value added tax and are stated in euro with two decimals.",
    "Where a term speaks of a business day, Saturdays are not meant.",
    "A parcel that cannot be delivered is kept for seven business days at the depot nearest to the address.",
    "The sender names the contents truthfully; what is listed in annex B is not carried.",
    "Changes of these terms are announced six weeks ahead, in writing or by the electronic notice board.",
    "Disputes about an amount are raised within thirty days of the invoice; after that it counts as accepted.",
)
_FINANCE = (
    "Zone;PLZ;Grundpreis;je100g;Insel;Ort",
    "Z4;27498;5,125;0,375;ja;Helgoland",
    "Z3;80;4,85;0,29;nein;München",
    "Z2;4x;4,19;0,225;nein;Düsseldorf",
    "Z1;10;3,49;0,18;nein;Berlin",
    "Z1;11;3;49;0,18;nein;Berlin",
)


def make(folder: Path, files: Mapping[str, str]) -> None:
    """The repository at ``folder`` with these texts and some made up by rule, committed; the same each time."""
    chance = random.Random(7)
    for name, text in files.items():
        _write(folder / name, text)
    _write(folder / "data" / "zones.csv", "\n".join(_zones(chance)) + "\n")
    _write(folder / "docs" / "carriers.md", "\n".join(_terms(chance)))
    postcodes = ("10115", "20095", "50667", "80331", "27498", "01067", "99084")
    orders = [
        {
            "number": f"PX-{30_000 + number}",
            "postcode": chance.choice(postcodes),
            "grams": chance.randint(50, 20_000),
            "discount": chance.choice([0, 0, 5, 10]),
        }
        for number in range(3_000)
    ]
    _write(folder / "tests" / "fixtures" / "batch_3k.json", json.dumps(orders, indent=0))
    (folder / "tests" / "fixtures" / "finance_2026_10.csv").write_bytes(
        "".join(f"{line}\r\n" for line in _FINANCE).encode("cp1252")
    )
    _write(folder / ".gitignore", "__pycache__/\n.pytest_cache/\n")
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "config", "user.name", "Mira")
    _git(folder, "config", "user.email", "mira@parcel.example")
    for message, paths in (
        ("Prices by zone and weight", ("README.md", "CLAUDE.md", ".gitignore", "parcel")),
        ("Zones of finance and the carrier's terms", ("data", "docs")),
        ("Tests and fixtures", (".",)),
    ):
        _git(folder, "add", *paths)
        _git(folder, "commit", "-q", "-m", message)


def _zones(chance: random.Random) -> list[str]:
    rows = ["zone,prefix,base,per_100g,island"]
    for first in range(10, 100):
        for last in range(0, 10, 2 if first % 3 else 3):
            zone = chance.choice(["Z1", "Z1", "Z2", "Z2", "Z3"])
            rows.append(f"{zone},{first}{last},{_BASES[zone]},{_PER_100G[zone]},no")
    rows += [f"Z1,{number:02d},{_BASES['Z1']},{_PER_100G['Z1']},no" for number in range(1, 100)]
    return [*rows, *(f"Z4,{prefix},{_BASES['Z4']},{_PER_100G['Z4']},yes" for prefix in _ISLANDS)]


def _terms(chance: random.Random) -> list[str]:
    lines = ["# Carrier terms, edition 2026-09", ""]
    for number, title in enumerate(_TITLES, 1):
        lines += [f"## {number}. {title}", ""]
        lines += [*_TERMS[title], ""] if title in _TERMS else []
        for paragraph in range(7, 14):
            lines += [f"{number}.{paragraph} " + " ".join(chance.sample(_PROSE, 3)), ""]
    return lines


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _git(folder: Path, *arguments: str) -> None:
    environ = {**os.environ, **_AUTHOR}
    subprocess.run(["git", *arguments], cwd=folder, env=environ, check=True, stdout=subprocess.DEVNULL)
