"""A record behaves as the dataclass it stands for."""

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, field

import pytest

from rlm_mcp.records import record


@record
class Point:
    """With a required field, a default, and one made anew."""

    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Methods stay."""
        return self.x + self.y


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """The same, by the standard library."""

    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)


@record
class Place(Point):
    """A record of a record."""

    name: str = "here"


@record
class Empty:
    """Nothing to keep."""


def test_fields_defaults_and_factories() -> None:
    """A factory's value is nobody else's."""
    first, second = Point(x=1), Point(x=1)
    assert (first.x, first.y, first.tags, first.total) == (1, 2, [], 3)
    assert first == second
    assert first.tags is not second.tags
    assert Point(x=1, y=3) != first
    assert Empty() == Empty()


def test_wrong_arguments_are_refused_as_by_a_dataclass() -> None:
    """Unknown, missing and positional ones."""
    for arguments in ({}, {"x": 1, "z": 2}):
        with pytest.raises(TypeError):
            Point(**arguments)
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[misc]  # what is tested


def test_nothing_can_be_changed_or_added() -> None:
    """Frozen and slotted."""
    point = Point(x=1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2
    with pytest.raises(FrozenInstanceError):
        point.other = 2
    with pytest.raises(FrozenInstanceError):
        del point.x
    assert not hasattr(point, "__dict__")


def test_the_standard_librarys_functions_work_on_it() -> None:
    """replace, fields, asdict, is_dataclass, copy and pickle."""
    point = Point(x=1, tags=["a"])
    assert dataclasses.replace(point, y=5) == Point(x=1, y=5, tags=["a"])
    assert [each.name for each in dataclasses.fields(Point)] == ["x", "y", "tags"]
    assert dataclasses.asdict(point) == {"x": 1, "y": 2, "tags": ["a"]}
    assert dataclasses.is_dataclass(Point)
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point


def test_it_prints_hashes_and_matches_as_its_twin() -> None:
    """repr, hash of equal ones, match by keyword."""
    assert repr(Point(x=1)).replace("Point", "Twin") == repr(Twin(x=1))
    assert hash(Place(x=1, tags=())) == hash(Place(x=1, tags=()))
    match Point(x=7):
        case Point(x=found):
            assert found == 7


def test_a_record_of_a_record_has_both_ones_fields() -> None:
    """Inherited first."""
    place = Place(x=1, name="there")
    assert (place.x, place.y, place.name, place.total) == (1, 2, "there", 3)
    assert not hasattr(place, "__dict__")
