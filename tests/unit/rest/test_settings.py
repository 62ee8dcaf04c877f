"""Settings from the environment, and what may not start."""

import pytest
from pydantic import ValidationError

from fhirserver.settings import Settings


def settings(**given):
    return Settings(_env_file=None, **given)


def test_environment_sets_every_option(monkeypatch):
    monkeypatch.setenv("FHIRSERVER_PORT", "9000")
    monkeypatch.setenv("FHIRSERVER_AUTH", "off")
    monkeypatch.setenv("FHIRSERVER_CORS_ORIGINS", "https://a.fr, https://b.fr")
    made = settings()
    assert (made.port, made.auth) == (9000, "off")
    assert made.cors_origins == ("https://a.fr", "https://b.fr")


def test_smart_tokens_need_the_address_that_clients_use():
    assert settings(auth="smart").problems() == []
    (problem,) = settings(auth="smart", host="0.0.0.0").problems()
    assert "base_url" in problem


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org"])
def test_open_mode_does_not_listen_to_the_world(host):
    assert settings(auth="off", host=host).problems()
    assert not settings(auth="off", host=host, insecure_bind=True).problems()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "localhost", "::1", "[::1]"])
def test_open_mode_listens_to_this_machine(host):
    assert not settings(auth="off", host=host).problems()


@pytest.mark.parametrize(
    "url", ["sante.fr/fhir", "ftp://a.fr", "https://a.fr/?x", "https://u@a.fr"]
)
def test_base_url_is_absolute_http(url):
    with pytest.raises(ValidationError):
        settings(base_url=url)


def test_base_url_has_no_trailing_slash():
    assert settings(base_url="https://a.fr/fhir/").base_url == "https://a.fr/fhir"


def test_trusted_proxies_are_addresses_or_networks():
    assert settings(trusted_proxies="10.0.0.0/8,::1").trusted_proxies == ("10.0.0.0/8", "::1")
    with pytest.raises(ValidationError):
        settings(trusted_proxies="proxy.local")


def test_every_setting_is_described():
    for name, field in Settings.model_fields.items():
        assert field.description, name
