"""The strict JSON reader and the exact JSON writer."""

from __future__ import annotations

import contextlib
import json as standard_json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.errors import Malformed
from fhirserver.model import json


def nested(depth: int, inner: bytes = b'"x"') -> bytes:
    """`inner` inside `depth` objects."""
    return b'{"a":' * depth + inner + b"}" * depth


def test_decimals_keep_their_digits_and_integers_stay_integers():
    decoded = json.decode(b'{"a":1.00,"b":3.141592653589793238462643,"c":7}')
    assert decoded == {"a": Decimal("1.00"), "b": Decimal("3.141592653589793238462643"), "c": 7}
    assert type(decoded["c"]) is int
    assert json.encode(decoded) == b'{"a":1.00,"b":3.141592653589793238462643,"c":7}'


@pytest.mark.parametrize("number", [b"0.0000001", b"-0.00000000120", b"0.00", b"1E+400"])
def test_small_decimals_are_written_as_they_were_sent(number):
    assert json.encode(json.decode(b'{"a":%b}' % number)) == b'{"a":%b}' % number


def test_text_that_looks_like_an_exponent_is_left_alone():
    body = b'{"a":"code 1E-7 \\" 2E-3","b":1E-7}'
    assert json.encode(json.decode(body)) == b'{"a":"code 1E-7 \\" 2E-3","b":0.0000001}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"b":{"c":[{"d":1,"d":2}]}}',
        b'{"a":{"x":1},"a":{"x":1}}',
        b'{"a" : 1, "a"\n:2}',
        b'{"\\u0061":1,"a":2}',
        # An escaped colon must not make up for the one that was lost.
        b'{"a":1,"b":"\\u003a","a":2}',
        b'{"a":1,"b":"\\u003A","a":2}',
    ],
)
def test_duplicate_keys_are_refused(body):
    with pytest.raises(Malformed, match="more than once"):
        json.decode(body)


def test_colons_in_strings_are_no_duplicate_keys():
    body = b'{"a:b":"http://x:1","c":"\\u003a\\"d\\":1","e":"\\u003a"}'
    assert json.decode(body) == {"a:b": "http://x:1", "c": ':"d":1', "e": ":"}


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_not_a_number_is_refused(constant):
    with pytest.raises(Malformed, match=constant):
        json.decode(b'{"a":%b}' % constant.encode())


@pytest.mark.parametrize("escape", [b"\\ud800", b"\\udc00", b"\\ud83dx", b"\\ud800\\u0041"])
@pytest.mark.parametrize("form", [b'{"a":"%b"}', b'{"%b":1}', b'{"a":["%b and more"]}'])
def test_lone_surrogates_are_refused(escape, form):
    with pytest.raises(Malformed, match="surrogate"):
        json.decode(form % escape)


def test_surrogate_pairs_are_read():
    assert json.decode(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize("body", [b'{"a":"\\u0000"}', b'{"\\u0000":1}', b'{"a":"\\\\\\u0000"}'])
def test_nul_is_refused(body):
    with pytest.raises(Malformed, match="NUL"):
        json.decode(body)


def test_an_escaped_backslash_before_u0000_is_no_nul():
    assert json.decode(b'{"a":"\\\\u0000"}') == {"a": "\\u0000"}


def test_raw_control_characters_are_refused():
    with pytest.raises(Malformed, match="line 1"):
        json.decode(b'{"a":"\x00"}')


@pytest.mark.parametrize("padding", [0, 70_000])
def test_nesting_is_read_to_sixty_levels_and_refused_beyond(padding):
    wide = b'"y":[' + b"1," * padding + b"1]"
    assert json.decode(nested(58, b"{%b}" % wide))
    for depth in (61, 62, 100, 900, 5000, 200_000):
        with pytest.raises(Malformed, match="deep"):
            json.decode(b"{%b,%b" % (wide, nested(depth)[1:]))


def test_deep_nesting_with_many_values_takes_little_time():
    body = nested(900, b"[" + b"1," * 500_000 + b"1]")
    start = time.perf_counter()
    with pytest.raises(Malformed, match="deep"):
        json.decode(body)
    assert time.perf_counter() - start < 2


def test_brackets_in_strings_are_no_nesting():
    assert json.decode(standard_json.dumps({"a": "{[" * 500 + "\n" + " " * 80}).encode())


@pytest.mark.parametrize("body", [b"[1]", b'"x"', b"1", b"1.5", b"true", b"null"])
def test_what_is_not_an_object_is_refused(body):
    with pytest.raises(Malformed, match="must be an object"):
        json.decode(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"{", b'{"a"', b'{"a":1', b'{"a":1,}', b"{'a':1}", b'{"a":01}', b'{"a":1.}',
     b'{"a":1}x', b'{"a":1}{"b":2}', b"<Patient/>", b'{"a":tru}', b'{"a":"\\x"}', b'{"a":"\n"}',
     b'{"a":/**/1}'],
)  # fmt: skip
def test_broken_json_is_refused(body):
    with pytest.raises(Malformed):
        json.decode(body)


def test_the_place_of_an_error_is_told():
    with pytest.raises(Malformed, match="line 3, column"):
        json.decode(b'{\n "a": 1,\n "b": oops\n}')


@pytest.mark.parametrize("body", [b'{"a":"\xff"}', b'{"\xc3":1}', '{"a":"é"}'.encode("latin-1")])
def test_what_is_not_utf8_is_refused(body):
    with pytest.raises(Malformed, match="UTF-8"):
        json.decode(body)


def test_a_byte_order_mark_is_tolerated():
    assert json.decode(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


@pytest.mark.parametrize(
    "number",
    [b"1e400", b"1" * 100_000, b"1." + b"3" * 100_000, b"1e99999999999", b"1e-99999999999",
     b"1e" + b"9" * 100_000, b"0." + b"0" * 100_000 + b"1", b"-" + b"9" * 100_000],
)  # fmt: skip
def test_huge_numbers_neither_crash_nor_take_long(number):
    start = time.perf_counter()
    with contextlib.suppress(Malformed):
        json.encode(json.decode(b'{"a":%b}' % number))
    assert time.perf_counter() - start < 0.5


def test_exponents_beyond_all_measurement_are_refused():
    for number in (b"1e6145", b"1e-6145", b"1e99999999999"):
        with pytest.raises(Malformed, match="exponent"):
            json.decode(b'{"a":%b}' % number)
    assert json.decode(b'{"a":1e6144}')["a"] == Decimal("1e6144")


def test_pretty_indents_resources_and_bytes_alike():
    assert json.pretty({"a": Decimal("1.0")}) == b'{\n  "a": 1.0\n}'
    assert json.pretty(b'{"a":1.0}') == b'{\n  "a": 1.0\n}'


decimals = st.decimals(allow_nan=False, allow_infinity=False).filter(
    lambda number: abs(number.adjusted()) < 300 and "." in str(number)
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | decimals
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab:\\\"'é{}", max_size=4), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text('ab:\\"u003é'), values))
def test_every_object_survives_a_round_trip(value):
    encoded = json.encode(value)
    decoded = json.decode(encoded)
    assert decoded == value
    assert json.encode(decoded) == encoded
    assert json.decode(json.pretty(value)) == value
    assert json.decode(standard_json.dumps(value, default=float).encode()) is not None


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c:", "\\"]), values), max_size=6))
def test_exactly_the_objects_with_duplicate_keys_are_refused(pairs):
    for escaped in (True, False):

        def text(value, escaped=escaped):
            return standard_json.dumps(value, default=float, ensure_ascii=escaped)

        members = ",".join(f"{text(name)} :{text(value)}" for name, value in pairs)
        body = ("{" + members + "}").encode()
        if len({name for name, _ in pairs}) == len(pairs):
            json.decode(body)
        else:
            with pytest.raises(Malformed, match="more than once"):
                json.decode(body)


@given(
    st.binary(max_size=60)
    | st.text('{}[]":,\\u0de19.eE-+ truefalsn\n', max_size=60).map(str.encode)
)
def test_no_bytes_cause_another_error_than_malformed(body):
    with contextlib.suppress(Malformed):
        json.decode(body)
