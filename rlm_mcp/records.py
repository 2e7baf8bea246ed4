"""``@record``: the frozen, keyword-only, slotted dataclass of this house, made five times faster.

``@dataclass(frozen=True, slots=True, kw_only=True)`` compiles six methods and makes the class twice, about half a
millisecond each on Python 3.11. A hook defines some seventy records each time it starts, and has fifty milliseconds in
all. A record compiles its ``__init__`` alone and shares the other methods. It is a dataclass to ``replace``,
``fields``, ``asdict``, ``match`` by keyword, pickle and mypy.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, Field, FrozenInstanceError, field
from typing import Any, TypeVar, dataclass_transform

_Class = TypeVar("_Class")
_FIELD = "__dataclass_fields__"  # where the standard library's own functions look


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=True, field_specifiers=(field,))
def record(cls: type[_Class]) -> type[_Class]:
    """The class with its annotated names as fields; those of a record it derives from come first."""
    annotated = cls.__dict__.get("__annotations__", {})  # noqa: RUF063  # importing inspect takes 5 ms
    own = {name: _field(cls, name) for name in annotated}
    inherited = {name: each for base in reversed(cls.__mro__[1:]) for name, each in getattr(base, _FIELD, {}).items()}
    every = {**inherited, **own}
    members = {name: value for name, value in cls.__dict__.items() if name not in {*own, "__dict__", "__weakref__"}}
    members |= {
        "__slots__": tuple(name for name in own if name not in inherited),
        "__init__": _init(cls, every),
        "__repr__": members.get("__repr__", _repr),
        "__eq__": _eq,
        "__hash__": _hash,
        "__setattr__": _refuse_set,
        "__delattr__": _refuse_delete,
        "__getstate__": _values,
        "__setstate__": _restore,
        "__match_args__": (),
        _FIELD: every,
    }
    metaclass: Any = type(cls)
    made: type[_Class] = metaclass(cls.__name__, cls.__bases__, members)
    made.__qualname__ = cls.__qualname__
    return made


def _field(cls: type[Any], name: str) -> Field[Any]:
    default = cls.__dict__.get(name, MISSING)
    made: Field[Any] = default if isinstance(default, Field) else field(default=default)
    made.name, made.type, made.kw_only = name, cls.__annotations__[name], True
    made._field_type = dataclasses._FIELD  # type: ignore[attr-defined]  # noqa: SLF001  # replace() and fields() look at it
    return made


def _init(cls: type[Any], every: dict[str, Field[Any]]) -> Any:
    names: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING}
    parameters, lines = [], []
    for name, each in every.items():
        value = name
        if each.default is not MISSING:
            names[f"_default_{name}"] = each.default
            parameters.append(f"{name}=_default_{name}")
        elif each.default_factory is not MISSING:
            names[f"_make_{name}"] = each.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        else:
            parameters.append(name)
        lines.append(f" _set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    head = f"def __init__(self, *, {', '.join(parameters)}):" if parameters else "def __init__(self):"
    exec("\n".join([head, *(lines or [" return"])]), names)  # noqa: S102  # our own field names, as dataclasses does
    made = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__dataclass_fields__])


def _repr(self: Any) -> str:
    inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
    return f"{type(self).__qualname__}({inner})"


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse_set(_self: Any, name: str, _value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(_self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _restore(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, value)
