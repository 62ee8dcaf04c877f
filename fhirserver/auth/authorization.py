"""What a person (or the operator, for a backend) has allowed a client: the content of a code, a
refresh token and an access token alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.access import scopes as smart

if TYPE_CHECKING:
    from fhirserver.access.scopes import Scopes

CODE = "code"
ACCESS = "access"
REFRESH = "refresh"


class Authorization(msgspec.Struct, frozen=True, omit_defaults=True):
    """`family` ties together all that came of one decision. `session`: key of the sign-in session
    that online access ends with. `context`: launch context beside the patient, as it goes into
    the token response. `device`: the app's in the catalogue. `signed_in`: seconds since 1970."""

    client: str
    scopes: str
    family: str
    role: str
    audience: str
    subject: str = ""
    fhir_user: str = ""
    patient: str = ""
    profession: str = ""
    organization: str = ""
    device: str = ""
    mode: str = "normal"
    reason: str = ""
    acr: str = ""
    session: str = ""
    signed_in: int = 0
    nonce: str = ""
    context: dict[str, Any] = {}

    @property
    def granted(self) -> Scopes:
        return smart.granted(tuple(self.scopes.split()))

    @property
    def has_id_token(self) -> bool:
        return "openid" in self.granted.items and bool(self.subject)

    def response_context(self) -> dict[str, Any]:
        """What goes beside the access token, the same at a refresh."""
        found = dict(self.context)
        if self.patient:
            found["patient"] = self.patient
        return found


class Code(msgspec.Struct, frozen=True, omit_defaults=True):
    """An authorization code. `used`: it was exchanged; `replayed`: it was presented again, so
    whatever came of it is void."""

    authorization: Authorization
    redirect_uri: str
    challenge: str
    used: bool = False
    replayed: bool = False

    # What authlib asks of a code (authlib.oauth2.rfc6749.AuthorizationCodeMixin).

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.authorization.scopes

    @property
    def code_challenge(self) -> str:
        return self.challenge

    @property
    def code_challenge_method(self) -> str:
        return "S256"


class Refresh(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refresh token, kept after its use so that a second use is noticed. `expires`: seconds
    since 1970 at which the whole family ends."""

    authorization: Authorization
    used: bool = False
    replayed: bool = False

    # What authlib asks of a token (authlib.oauth2.rfc6749.TokenMixin).

    def check_client(self, client: Any) -> bool:
        return bool(client.get_client_id() == self.authorization.client)

    def get_scope(self) -> str:
        return self.authorization.scopes
