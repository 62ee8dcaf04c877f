"""Whose data a resource is: the patient an access is recorded for.

The patients are those that the resource is about (`patient` and `subject` of the Patient
compartment, https://hl7.org/fhir/R4/compartmentdefinition-patient.html); only where a type has no
such element, or it names no patient, any other reference that places it in a patient's compartment
counts. Whoever merely measured or wrote for somebody else does not learn of accesses to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.access.decision.guards import labels
from fhirserver.model.fhirpath import compile_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fhirserver.conformance.registry import Registry
    from fhirserver.model.version import Version

    Path = Callable[[dict[str, Any]], list[Any]]

_ABOUT = ("patient", "subject", "beneficiary", "individual", "link", "document-subject")
#: What R4 has in no compartment: a document is data of its Composition's subject.
_BESIDES = {"Bundle": ("document-subject",)}
_TO_PATIENT = re.compile(r"(?:.*/)?Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/.*)?")
_PLAIN = re.compile(r"[A-Z]\w*((?:\.\w+)+?)(?:\.where\(resolve\(\) is Patient\))?")

#: Labels that hide a resource, and so every trace of it, from its patient or their representatives.
HIDING = frozenset({"INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX", "CONNEXION_SECRETE"})
_HIDING_WORDS = re.compile("|".join(sorted(HIDING)).encode())

_NOBODY: tuple[str, ...] = ()
_decode = msgspec.json.Decoder().decode


class Subjects:
    """Finds the patients of resources. `bases`: URLs under which absolute references are local."""

    def __init__(self, registry: Registry, bases: Sequence[str] = ()) -> None:
        self._bases = tuple(base.rstrip("/") + "/" for base in bases)
        self._registry = registry
        self._paths: dict[str, tuple[tuple[Path, ...], tuple[Path, ...]]] = {}
        self._compartment = {**registry.compartment("Patient"), **_BESIDES}

    def of(self, version: Version) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Logical ids of the patients, and the labels that hide the resource from somebody."""
        content = version.content
        if version.type == "Patient":
            return (version.id,), _NOBODY
        if content is None or version.type not in self._compartment:
            return _NOBODY, _NOBODY
        resource = _decode(content)
        labels = _NOBODY
        if _HIDING_WORDS.search(content):
            labels = hiding_labels(resource)
        return self.of_resource(version.type, resource), labels

    def of_resource(self, type: str, resource: dict[str, Any]) -> tuple[str, ...]:
        if type == "Patient":
            id = resource.get("id")
            return (id,) if isinstance(id, str) else ()
        paths = self._paths.get(type)
        if paths is None:
            paths = self._paths[type] = self._compiled(type)
        return self._patients(paths[0], resource) or self._patients(paths[1], resource)

    def named(self, reference: dict[str, Any]) -> tuple[str, ...]:
        """The patient that a reference points to."""
        return self._patients((lambda resource: [resource],), reference)

    def _patients(self, paths: Iterable[Path], resource: dict[str, Any]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for path in paths:
            for reference in path(resource):
                text = reference.get("reference") if isinstance(reference, dict) else None
                if not isinstance(text, str):
                    continue
                if text.startswith("Patient/") and text.isascii() and text.count("/") == 1:
                    found[text[8:]] = None
                elif (named := self._local(text)) is not None:
                    found[named] = None
        return tuple(found)

    def _local(self, text: str) -> str | None:
        for base in self._bases:
            text = text.removeprefix(base)
        if "://" in text:
            return None
        matched = _TO_PATIENT.fullmatch(text)
        return None if matched is None else matched[1]

    def _compiled(self, type: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        about: list[Path] = []
        others: list[Path] = []
        for code in self._compartment.get(type, ()):
            parameter = self._registry.parameter(type, code)
            if parameter is None or not parameter.expression:
                continue
            chosen = about if code in _ABOUT else others
            for alternative in parameter.expression.split("|"):
                alternative = alternative.strip().strip("()")
                # Who acts in an AuditEvent is not whom it is about.
                if alternative.startswith(f"{type}.") and "AuditEvent.agent" not in alternative:
                    chosen.append(_path(alternative))
        return tuple(about), tuple(others)


def hiding_labels(resource: dict[str, Any]) -> tuple[str, ...]:
    """Of meta.security, and of DocumentReference.securityLabel."""
    return tuple(sorted(HIDING & labels(resource)))


def _path(expression: str) -> Path:
    """A plain path of elements is walked directly: a few times faster than by closures, and this
    runs for every resource that is sent."""
    plain = _PLAIN.fullmatch(expression)
    if plain is None:
        return compile_path(expression)
    names = plain[1][1:].split(".")
    if len(names) == 1:
        (name,) = names

        def single(resource: dict[str, Any]) -> list[Any]:
            value = resource.get(name)
            if value is None:
                return []
            return value if isinstance(value, list) else [value]

        return single

    def walk(resource: dict[str, Any]) -> list[Any]:
        found: list[Any] = [resource]
        for name in names:
            following: list[Any] = []
            for value in found:
                inner = value.get(name) if isinstance(value, dict) else None
                if isinstance(inner, list):
                    following += inner
                elif inner is not None:
                    following.append(inner)
            found = following
        return found

    return walk
