"""Settings from options, environment and `.env`, with errors in the words of the command line."""

from __future__ import annotations

import inspect
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import ValidationError

from fhirserver.cli.failure import Failure
from fhirserver.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo


def settings(**given: Any) -> Settings:
    """The settings, where an option that was given wins over the environment. Raises Failure."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = []
        for wrong in error.errors():
            name = str(wrong["loc"][0]) if wrong["loc"] else ""
            reason = str(wrong["msg"]).removeprefix("Value error, ")
            lines.append(f"{option(name)} (FHIRSERVER_{name.upper()}): {reason}")
        raise Failure("; ".join(lines), "See `fhirserver serve --help`.") from None


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def with_every_setting(command: Callable[..., None]) -> Callable[..., None]:
    """Make each setting an option of `command`, which takes them as keyword arguments."""
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[_plain(field) | None, _option(name, field)],
        )
        for name, field in Settings.model_fields.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _option(name: str, field: FieldInfo) -> Any:
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(default)
    flags = (option(name), f"--no-{name.replace('_', '-')}") if field.annotation is bool else ()
    declaration = "/".join(flags) if flags else option(name)
    said = f"{field.description}. [dim]{f'[default: {default}] ' if default is not None else ''}[/]"
    return typer.Option(
        declaration,
        help=said.replace("[default", r"\[default"),
        envvar=f"FHIRSERVER_{name.upper()}",
        show_default=False,
    )


def _plain(field: FieldInfo) -> Any:
    """The type as the command line knows it: a list of names is one comma-separated text."""
    kinds = [field.annotation]
    if get_origin(field.annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    kind = kinds[0]
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind in (bool, int, float) or get_origin(kind) is Literal:
        return kind
    return str
