"""`client`, `keys` and `token` as an operator runs them."""

from __future__ import annotations

import asyncio
import json

import pytest
from joserfc.jwk import ECKey
from typer.testing import CliRunner

from fhirserver.app import context_of, open_engine
from fhirserver.auth.client import Clients, verify_secret
from fhirserver.auth.server import microseconds
from fhirserver.cli import application
from fhirserver.cli.failure import Failure
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.update import update

KEY = ECKey.generate_key("P-384", {"kid": "a"})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRSERVER_DATABASE", f"sqlite:///{tmp_path}/c.db")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        result = CliRunner().invoke(application, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return command


def in_store(tmp_path, work):
    async def go():
        store = open_engine(f"sqlite:///{tmp_path}/c.db")
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(go())


def client_of(tmp_path, id):
    return in_store(tmp_path, lambda store: Clients(store, microseconds).find(id))


def add(run, *more, id="a", scope="patient/*.rs", uri="https://a.example/cb"):
    redirect = ("--redirect-uri", uri) if uri else ()
    return run("client", "add", "--id", id, "--name", "App", "--scope", scope, *redirect, *more)


def test_a_confidential_client_is_told_its_secret_once(run, tmp_path):
    secret = add(run, "--type", "confidential").stdout.strip()
    client = client_of(tmp_path, "a")
    assert verify_secret(secret, client.secret_hash)
    assert secret not in run("client", "list").output
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("c.db*"))
    assert secret.encode() not in stored


def test_keys_come_from_a_file_or_a_url(run, tmp_path):
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    add(run, "--type", "backend", "--jwks", str(file), scope="system/*.rs", uri=None)
    add(run, "--type", "confidential", "--jwks", "https://k.example/jwks", id="b")
    assert client_of(tmp_path, "a").jwks["keys"][0]["kid"] == "a"
    assert client_of(tmp_path, "b").jwks_url == "https://k.example/jwks"
    file.write_text(json.dumps({"keys": [KEY.as_dict(private=True)]}))
    with pytest.raises(Failure, match="public keys only"):
        add(run, "--type", "confidential", "--jwks", str(file), id="c")
    with pytest.raises(Failure, match="cannot be read"):
        add(run, "--type", "confidential", "--jwks", "missing.json", id="c")


def test_keys_by_url_are_fetched_by_https_alone(run):
    with pytest.raises(Failure, match="https only"):
        add(
            run, "--type", "backend", "--jwks", "http://k.example/jwks", scope="system/*.rs", uri=""
        )


def test_whoever_registers_keys_by_url_is_told_of_the_hosts_to_fetch_from(run, monkeypatch):
    more = ("--type", "backend", "--jwks", "https://k.example/jwks")
    assert "fetch_hosts" in add(run, *more, scope="system/*.rs", uri="").stderr
    monkeypatch.setenv("FHIRSERVER_FETCH_HOSTS", "k.example")
    assert "fetch_hosts" not in add(run, *more, id="b", scope="system/*.rs", uri="").stderr


def test_the_list_shows_every_scope_in_full(run, monkeypatch):
    scope = " ".join(f"patient/{type}.rs" for type in ("Observation", "Immunization", "Encounter"))
    add(run, scope=scope)
    monkeypatch.setenv("COLUMNS", "60")
    assert scope in run("client", "list").stdout


def test_clients_are_listed_and_disabled(run, tmp_path):
    add(run, "--origin", "https://a.example", "--launcher")
    with pytest.raises(Failure, match="already"):
        add(run)
    with pytest.raises(Failure, match="redirect URI"):
        add(run, id="b", uri="http://evil.example/")
    with pytest.raises(Failure, match="no client"):
        run("client", "disable", "nobody")
    assert "active" in run("client", "list").output
    run("client", "disable", "a")
    assert "disabled" in run("client", "list").output
    assert client_of(tmp_path, "a").origins == ("https://a.example",)


def test_the_signing_key_is_rotated(run):
    one, other = run("keys", "rotate").output, run("keys", "rotate").output
    assert one != other


def seeded(tmp_path):
    async def work(store):
        context = context_of(store, Registry())
        for resource in (
            {"resourceType": "Patient", "id": "1"},
            {"resourceType": "Practitioner", "id": "2"},
            {
                "resourceType": "PractitionerRole",
                "id": "3",
                "practitioner": {"reference": "Practitioner/2"},
                "organization": {"reference": "Organization/4"},
                "code": [
                    {
                        "coding": [
                            {
                                "system": "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante"
                                "/FHIR/TRE-G15-ProfessionSante",
                                "code": "10",
                            }
                        ]
                    }
                ],
            },
        ):
            await update(context, resource["resourceType"], resource["id"], resource)

    in_store(tmp_path, work)


def caller_of(tmp_path, token):
    from fhirserver.auth.bearer import caller

    headers = {b"authorization": f"Bearer {token}".encode()}
    return in_store(
        tmp_path, lambda store: caller(headers, store, "http://127.0.0.1:8080/fhir", "r")
    )


def test_a_token_stands_for_the_person_named(run, tmp_path):
    seeded(tmp_path)
    token = run("token", "--as", "Patient/1", "--scope", "patient/*.rs").stdout.strip()
    found = caller_of(tmp_path, token)
    assert (found.role, found.fhir_user, found.patient) == ("citizen", "Patient/1", "1")
    assert found.scopes == ("patient/*.rs",)
    assert found.request == "r"
    token = run(
        "token", "--as", "Practitioner/2", "--patient", "1", "--scope", "patient/*.rs",
        "--mode", "bris_de_glace", "--reason", "Urgence vitale",
    ).stdout.strip()  # fmt: skip
    found = caller_of(tmp_path, token)
    assert found.role == "professional"
    assert found.fhir_user == "PractitionerRole/3"
    assert (found.profession, found.organization) == ("10", "Organization/4")
    assert (found.mode, found.reason, found.patient) == ("bris_de_glace", "Urgence vitale", "1")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--as", "Patient/9"), "no Patient/9"),
        (("--as", "Organization/4"), "no Organization/4"),
        (("--as", "1"), "There is no 1"),
        (("--as", "Patient/1", "--patient", "2"), "no record but"),
        (("--as", "Patient/1", "--client", "nobody"), "no such client"),
        (("--as", "Practitioner/2"), "say whose"),
        (("--as", "Practitioner/2", "--patient", "9"), "no Patient/9"),
        (("--as", "Patient/1", "--scope", "system/*.rs"), "for services"),
        (("--as", "Practitioner/2", "--mode", "bris_de_glace"), "needs a --reason"),
        (("--as", "Patient/1", "--mode", "centre_15", "--reason", "because"), "professionals"),
        (("--as", "Patient/1", "--scope", "nonsense"), "Not a SMART scope"),
    ],
)
def test_a_token_that_nobody_could_give_is_refused(run, tmp_path, arguments, reason):
    seeded(tmp_path)
    scope = () if "--scope" in arguments else ("--scope", "patient/*.rs")
    with pytest.raises(Failure, match=reason):
        run("token", *arguments, *scope)


def test_a_token_for_a_client_gives_no_more_than_it_was_registered_with(run, tmp_path):
    seeded(tmp_path)
    add(run, scope="launch/patient patient/Observation.rs")
    given = ("token", "--as", "Patient/1", "--client", "a", "--scope")
    with pytest.raises(Failure, match="registered for less"):
        run(*given, "patient/*.rs")
    found = caller_of(tmp_path, run(*given, "patient/Observation.r").stdout.strip())
    assert (found.client, found.scopes) == ("a", ("patient/Observation.r",))
    run("client", "disable", "a")
    with pytest.raises(Failure, match="no such client"):
        run(*given, "patient/Observation.r")


def test_a_token_of_centre_15_needs_no_reason_and_is_short(run, tmp_path):
    from fhirserver.auth.secret import key_of

    seeded(tmp_path)
    made = microseconds()
    token = run(
        "token", "--as", "Practitioner/2", "--patient", "Patient/1", "--scope", "patient/*.rs",
        "--mode", "centre_15",
    ).stdout.strip()  # fmt: skip
    found = caller_of(tmp_path, token)
    assert (found.mode, found.patient) == ("centre_15", "1")
    grant = in_store(tmp_path, lambda store: store.get_grant("access", key_of(token)))
    assert grant.expires - made < 910 * 1_000_000


def test_a_database_that_does_not_answer_is_told_in_a_line(run, monkeypatch):
    async def late(_):
        raise TimeoutError("MongoDB did not answer in time")

    monkeypatch.setattr(
        "fhirserver.interaction.search_parameter.SearchParameterBehaviour.refresh", late
    )
    with pytest.raises(Failure, match="does not answer: MongoDB did not answer in time"):
        run("client", "list")


def test_no_token_is_made_under_production_settings(run, monkeypatch):
    monkeypatch.setenv("FHIRSERVER_ENVIRONMENT", "production")
    with pytest.raises(Failure, match="production"):
        run("token", "--as", "Patient/1", "--scope", "patient/*.rs")
