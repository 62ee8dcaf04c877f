from decimal import Decimal

import msgspec
import pytest

from fhirserver.validation import Validator


@pytest.fixture(scope="session")
def validator():
    return Validator()


@pytest.fixture(scope="session")
def decode():
    return msgspec.json.Decoder(float_hook=Decimal).decode
