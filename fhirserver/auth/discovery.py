"""What clients read first (https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.auth import brand
from fhirserver.auth.assertion import ALGORITHMS
from fhirserver.auth.keys import ALGORITHM

if TYPE_CHECKING:
    from fhirserver.auth.configuration import Configuration

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)

SCOPES = (
    "openid",
    "fhirUser",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
    "patient/*.cruds",
    "user/*.cruds",
    "system/*.cruds",
    "patient/*.read",
    "patient/*.write",
    "user/*.read",
    "user/*.write",
    "system/*.read",
    "system/*.write",
)

#: What apps dress themselves in (smart_style_url); a change of it gets a new URL.
STYLE = {
    "color_background": "#ffffff",
    "color_error": "#b00000",
    "color_highlight": "#000091",
    "color_modal_backdrop": "#000000",
    "color_success": "#18753c",
    "color_text": "#161616",
    "dim_border_radius": "4px",
    "dim_font_size": "17px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}

_METHODS = ["none", "client_secret_basic", "private_key_jwt"]


def smart_configuration(configuration: Configuration) -> dict[str, Any]:
    return {
        **_common(configuration),
        "capabilities": list(CAPABILITIES),
        "user_access_brand_bundle": configuration.url("brands"),
        "user_access_brand_identifier": brand.identifier(configuration),
    }


def openid_configuration(configuration: Configuration) -> dict[str, Any]:
    return {
        **_common(configuration),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "fhirUser",
        ],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }  # fmt: skip


def _common(configuration: Configuration) -> dict[str, Any]:
    url = configuration.url
    return {
        "issuer": configuration.issuer,
        "jwks_uri": url("jwks"),
        "authorization_endpoint": url("authorize"),
        "token_endpoint": url("token"),
        "introspection_endpoint": url("introspect"),
        "revocation_endpoint": url("revoke"),
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "scopes_supported": list(SCOPES),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": _METHODS,
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": _METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": _METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
    }
