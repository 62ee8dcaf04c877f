"""The pages a person sees: sign-in, consent, messages. Server-made HTML without script, in French
and English, usable by keyboard and screen reader (WCAG 2.1 AA)."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import Environment, FunctionLoader, StrictUndefined
from starlette.responses import Response

from fhirserver.access.caller import Mode, Role
from fhirserver.access.scopes import Launch, Scope
from fhirserver.auth.identity.demo import samples
from fhirserver.auth.narrowing import offered, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.access.scopes import Item
    from fhirserver.auth.configuration import Configuration
    from fhirserver.auth.decisions import Answer, Question
    from fhirserver.auth.identity.person import Capacity
    from fhirserver.auth.visits import Visit

LANGUAGES = ("fr", "en")


def file(name: str) -> bytes:
    return resources.files("fhirserver.auth").joinpath("pages", name).read_bytes()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(lambda name: file(name).decode()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def language_of(accept: str, chosen: str = "") -> str:
    """The language asked for, French unless English is preferred."""
    if chosen in LANGUAGES:
        return chosen
    for part in accept.split(","):
        found = part.partition(";")[0].strip()[:2].lower()
        if found in LANGUAGES:
            return found
    return "fr"


class Pages:
    """Pages in one language."""

    def __init__(self, configuration: Configuration, language: str) -> None:
        self._configuration = configuration
        self.language = language

    def say(self, name: str, /, **values: object) -> str:
        text: str = words()["texts"][name][self.language]
        return text.format(**values) if values else text

    def sign_in(
        self, handle: str, csrf: str, app: str, providers: Sequence[Any], problem: str = ""
    ) -> Response:
        return self._page(
            "sign_in.html",
            200 if not problem else 400,
            handle=handle,
            csrf=csrf,
            app=app,
            providers=providers,
            samples=list(samples().values()) if self._configuration.demo else [],
            problem=self.say(problem) if problem else "",
            again=f"sign-in?request={handle}",
        )

    def consent(
        self,
        question: Question,
        sign_out_csrf: str,
        problem: str = "",
        answer: Answer | None = None,
        visits: Sequence[Visit] = (),
    ) -> Response:
        asked = question.asked
        professional = question.capacities[0].role == Role.PROFESSIONAL
        fixed = asked.launched is not None and asked.launched.patient
        kept = set(answer.kept) if answer else None
        narrowed = answer.narrowed if answer else {}
        return self._page(
            "consent.html",
            # To choose an encounter is the next step, nothing went wrong.
            400 if problem and not visits else 200,
            # After the form is sent the browser goes on to the app.
            form_target=asked.redirect_uri,
            handle=question.handle,
            csrf=question.csrf,
            sign_out_csrf=sign_out_csrf,
            app=question.client.name,
            name=question.person.name,
            capacities=[self._capacity(c) for c in question.capacities],
            capacity=answer.capacity if answer else 0,
            professional=professional,
            asks_patient=any(c.role == Role.PROFESSIONAL for c in question.capacities)
            and asked.needs_patient
            and not fixed,
            patient=answer.patient if answer else "",
            reason=answer.reason if answer else question.person.reason,
            mode=Mode(asked.mode).value,
            visits=visits,
            encounter=answer.encounter if answer else "",
            lines=[
                self._line(place, item, kept, set(narrowed.get(place, ())))
                for place, item in enumerate(asked.wanted.items)
            ],
            problem=self.say(problem) if problem else "",
            again=f"consent?request={question.handle}",
        )

    def message(
        self, heading: str, text: str, status: int, detail: str = "", **values: object
    ) -> Response:
        return self._page(
            "message.html",
            status,
            heading=self.say(heading),
            text=self.say(text, **values) if text else "",
            detail=detail,
            problem="",
            again="",
        )

    def _page(
        self, template: str, status: int, *, again: str, form_target: str = "", **values: Any
    ) -> Response:
        other = LANGUAGES[1 - LANGUAGES.index(self.language)]
        base = self._configuration.path
        html = (
            _environment()
            .get_template(template)
            .render(
                say=self.say,
                language=self.language,
                other_language=other,
                other_language_url=f"{base}/{again}&language={other}" if again else "",
                base=base,
                demo=self._configuration.demo,
                **values,
            )
        )
        return Response(html, status, self._headers(form_target), "text/html; charset=utf-8")

    def _headers(self, form_target: str) -> dict[str, str]:
        targets = " ".join(part for part in ("'self'", _source(form_target)) if part)
        headers = {
            "cache-control": "no-store",
            "pragma": "no-cache",
            "vary": "Cookie, Accept-Language",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
            "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
            f"form-action {targets}; frame-ancestors 'none'; base-uri 'none'",
        }
        if self._configuration.secure:
            headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
        return headers

    def _capacity(self, capacity: Capacity) -> str:
        if capacity.role == Role.CITIZEN:
            return f"{capacity.label} ({self.say('own')})"
        if capacity.role == Role.PROXY:
            return self.say("proxy", name=capacity.label)
        return capacity.label

    def _line(
        self, place: int, item: Item, kept: set[int] | None, narrowed: set[str]
    ) -> dict[str, Any]:
        line: dict[str, Any] = {
            "place": place,
            "checked": kept is None or place in kept,
            "hint": "",
            "many": False,
            "choices": [],
        }
        if isinstance(item, Launch):
            encounter = item.type == "Encounter"
            return {**line, "text": self.say("launch_encounter" if encounter else "launch")}
        if isinstance(item, str):
            hint = self.say("offline_hint") if item == "offline_access" else ""
            return {**line, "text": self.say(item), "hint": hint}
        line["text"] = self._scope(item)
        if item.type == "*":
            line["hint"] = self.say("everything_hint")
        choices = offered(item)
        line["many"] = item.type == "*"
        line["choices"] = [
            {"value": str(c), "text": self._choice(item, c), "chosen": str(c) in narrowed}
            for c in choices
        ]
        line["open"] = bool(narrowed)
        return line

    def _scope(self, scope: Scope) -> str:
        reads = any(a in scope.actions for a in "rs")
        writes = any(a in scope.actions for a in "cud")
        verb = "rw" if reads and writes else "r" if reads else "c" if scope.actions == "c" else "w"
        what = self.say("everything") if scope.type == "*" else self._type(scope.type)
        text = f"{self.say(verb)} {what}"
        for name, value in scope.constraints:
            text += ", " + self.say("limited_to", what=self._constraint(scope.type, name, value))
        return f"{text} {self.say('user_level')}" if scope.level == "user" else text

    def _choice(self, scope: Scope, choice: Scope) -> str:
        if choice.type != scope.type:
            return self._type(choice.type)
        if choice.constraints != scope.constraints:
            name, value = choice.constraints[-1]
            return self._constraint(choice.type, name, value)
        return self.say("reading_only")

    def _constraint(self, type: str, name: str, value: str) -> str:
        known = words()["categories"].get(type, {}).get(value) if name == "category" else None
        return known[self.language] if known else f"{name} = {value}"

    def _type(self, type: str) -> str:
        known = words()["types"].get(type)
        return known[self.language] if known else self.say("other_type", type=type)


def _source(uri: str) -> str:
    """A redirect URI as a source of a content security policy."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}:" if parts.scheme else ""
