"""What a FHIR server says, in words, and its resources without what it added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


def plain(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource without what the server adds."""
    meta = {k: v for k, v in resource.get("meta", {}).items() if k not in _SERVERS}
    plain = {k: v for k, v in resource.items() if k != "meta"}
    return {**plain, "meta": meta} if meta else plain


_SERVERS = ("versionId", "lastUpdated")


def outcome_of(answer: httpx.Response) -> str:
    try:
        said = issues_of(answer.json())
    except ValueError:
        said = ""
    return said or f"HTTP {answer.status_code}"


def issues_of(outcome: dict[str, Any]) -> str:
    texts = []
    for issue in outcome.get("issue", [])[:3]:
        text = issue.get("diagnostics") or issue.get("details", {}).get("text") or ""
        place = next(iter(issue.get("expression", [])), "")
        texts.append(text if not place or place in text else f"{place}: {text}")
    return "; ".join(text for text in texts if text)


def said_of(error: Exception) -> str:
    return str(error) or type(error).__name__
