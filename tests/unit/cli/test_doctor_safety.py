"""`fhirserver doctor` names every setting that is unsafe for real data."""

import json

import pytest

from fhirserver.auth.client import Client
from fhirserver.cli.safety import findings, of_clients
from fhirserver.settings import Settings

PROVIDER = {
    "id": "psc",
    "name": "PSC",
    "kind": "professional",
    "issuer": "https://psc.example",
    "client_id": "x",
    "claim": "sub",
    "system": "urn:x",
    "client_secret_env": "PSC_SECRET",
    "acr_accepted": ["eidas1"],
    "acr_exceptional": ["eidas2"],
}


@pytest.fixture
def said(tmp_path, monkeypatch):
    """The texts about settings that are safe but for those given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PSC_SECRET", "secret")

    def say(provider=None, **changed):
        file = tmp_path / "providers.json"
        file.write_text(json.dumps([PROVIDER | (provider or {})]))
        chosen = {
            "environment": "production",
            "base_url": "https://sante.example.fr/fhir",
            "identity_providers": str(file),
            "database": f"sqlite:///{tmp_path}/store.db",
            "mail_server": "smtp://mail.example.fr",
            "antivirus": "clamdscan -",
        }
        settings = Settings(_env_file=None, **{**chosen, **changed})
        return [(found.state, found.text) for found in findings(settings)]

    return say


def test_safe_settings_are_called_so(said):
    assert said() == [("good", "no setting is unsafe for real data")]


def test_what_is_for_development_is_not_held_against_production():
    (found,) = findings(Settings(_env_file=None))
    assert found.state == "note"
    assert "FHIRSERVER_ENVIRONMENT=production" in found.advice


@pytest.mark.parametrize(
    ("changed", "state", "words"),
    [
        ({"host": "0.0.0.0"}, "note", "without TLS"),
        ({"trusted_proxies": "*"}, "bad", "trusted_proxies has *"),
        ({"trusted_proxies": "10.0.0.0/8"}, "bad", "trusted_proxies has 10.0.0.0/8"),
        ({"mssante_peers": "0.0.0.0/0"}, "bad", "mssante_peers"),
        ({"cors_origins": "*"}, "bad", "cors_origins has *"),
        ({"cors_origins": "http://x.example"}, "bad", "cors_origins"),
        ({"fetch_hosts": "169.254.169.254"}, "bad", "fetch_hosts"),
        ({"fetch_hosts": "intern"}, "bad", "fetch_hosts"),
        ({"database": "sqlite://"}, "bad", "temporary"),
        ({"database": "mongodb://db.example/fhir?tls=true"}, "bad", "no account"),
        ({"database": "mongodb://a:b@db.example/fhir"}, "bad", "in the clear"),
        (
            {"database": "mongodb://a:b@db.example/fhir?tls=true&tlsInsecure=true"},
            "bad",
            "may be anybody",
        ),
        ({"max_body_bytes": 10**9}, "note", "max_body_bytes"),
        ({"max_bundle_entries": 10**6}, "note", "max_bundle_entries"),
        ({"search_seconds": 1000}, "note", "search_seconds"),
        ({"log_level": "debug"}, "note", "log_level"),
        ({"antivirus": None}, "note", "antivirus"),
        ({"notices": "document,message"}, "bad", "emergency"),
        ({"mail_server": None, "mail_folder": "mails"}, "bad", "folder"),
        ({"mail_server": None}, "note", "no e-mail"),
        ({"mssante_listen": "0.0.0.0:25"}, "note", "0.0.0.0:25"),
        ({"access_active_needed": False}, "note", "access_active_needed"),
        ({"access_blocked_in_emergency": False}, "note", "access_blocked_in_emergency"),
        ({"access_masked_in_emergency": False}, "note", "access_masked_in_emergency"),
        ({"access_client_ids": True}, "note", "access_client_ids"),
        ({"access_existence_by_ins": "system,professional"}, "note", "access_existence_by_ins"),
        ({"access_majority": 21}, "note", "access_majority"),
        ({"access_invisible_months": 6}, "note", "access_invisible_months"),
        ({"carers_of_person": 9}, "note", "carers_of_person"),
        ({"persons_of_carer": 9}, "note", "persons_of_carer"),
        ({"access_longest_seconds": 3600}, "note", "kept long"),
        ({"audit_days": 30}, "bad", "30 days only"),
        ({"provider": {"acr_accepted": []}}, "bad", "any level"),
        ({"provider": {"acr_exceptional": []}}, "note", "break the glass"),
        ({"provider": {"issuer": "http://127.0.0.1:1"}}, "bad", "by https"),
        ({"provider": {"client_secret_env": "NOT_SET"}}, "bad", "no client secret"),
        ({"identity_providers": "/nowhere.json"}, "bad", "identity_providers"),
    ],
    ids=str,
)
def test_each_unsafe_setting_is_named(said, changed, state, words):
    found = said(**changed)
    assert any(state == told and words in text for told, text in found), found
    assert all(told in ("note", "bad") for told, _ in found)


def test_files_that_others_read_are_named(said, tmp_path):
    for name in (".env", "store.db", "store.db-wal"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    found = [text for state, text in said() if state == "bad"]
    assert len(found) == 3
    (tmp_path / "providers.json").touch()
    held = said(provider={"client_secret": "x", "client_secret_env": "PSC_SECRET"})
    assert any("holds a secret" in text for _, text in held)
    for name in (".env", "store.db", "store.db-wal"):
        (tmp_path / name).chmod(0o600)
    assert said() == [("good", "no setting is unsafe for real data")]


def test_running_with_all_rights_is_named(said, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert any("root" in text for _, text in said())


def test_clients_with_more_than_they_need_are_named():
    keys = {"jwks_url": "https://x.example/jwks"}
    clients = [
        Client("local", "Local", "public", "patient/*.rs", redirect_uris=("http://127.0.0.1/cb",)),
        Client("all", "All", "backend", "system/*.cruds", **keys),
        Client("good", "Good", "backend", "system/Patient.rs", **keys),
        Client("gone", "Gone", "backend", "system/*.cruds", disabled=True, **keys),
    ]
    found = [finding.text for finding in of_clients(clients)]
    assert [text.split()[1] for text in found] == ["local", "all"]
