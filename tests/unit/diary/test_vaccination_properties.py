"""What holds for every history: generated with Hypothesis."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vaccination_people import VACCINES, circumstances

from fhirserver.diary.immunization.assess import assess
from fhirserver.diary.immunization.period import period
from fhirserver.diary.immunization.recommendation import evaluations, recommendation
from fhirserver.validation.validator import Validator

ON = date(2026, 6, 1)
WORDS = [
    "immunosuppressed", "diabetes 2020-01-01", "preterm", "nursing-home", "asplenia",
    "hepatitis-b-exposure", "tuberculosis-exposure", "lmp 2026-02-15", "pregnant", "bmi 41",
    "had 38907003", "had 14189004", "allergy J07BD52", "allergy priorix",
    "maternal-rsv-vaccination", "varicella-indication",
]  # fmt: skip

births = st.one_of(
    st.dates(date(1920, 1, 1), ON),
    st.dates(date(2018, 1, 1), ON),
    st.sampled_from([date(2024, 2, 29), date(2000, 2, 29), date(2025, 12, 31), ON]),
)
words = st.lists(st.sampled_from(WORDS), max_size=3).map("; ".join)


def event(birth, offset, name, **elements):
    system, code = VACCINES[name]
    return {
        "resourceType": "Immunization",
        "id": f"{offset}-{name}",
        "status": "completed",
        "patient": {"reference": "Patient/p"},
        "vaccineCode": {"coding": [{"system": system, "code": code}]},
        "occurrenceDateTime": (birth + timedelta(days=offset)).isoformat(),
        **elements,
    }


@st.composite
def lives(draw):
    birth = draw(births)
    names = st.sampled_from(sorted(VACCINES))
    age = (ON - birth).days
    offsets = st.one_of(st.integers(-5, max(age, 0) + 5), st.integers(0, min(max(age, 0), 800)))
    events = draw(st.lists(st.builds(event, st.just(birth), offsets, names), max_size=9))
    return {"resourceType": "Patient", "id": "p", "birthDate": birth.isoformat()}, events


def series_of(found):
    return {forecast.target: (forecast, track) for forecast, track in found.forecasts}


@settings(max_examples=200, deadline=None)
@given(lives(), words)
def test_dates_are_in_order_and_statuses_agree_with_them(life, more):
    found = assess(*life, circumstances(more), ON)
    for forecast, _ in found.forecasts:
        dates = [forecast.earliest, forecast.recommended, forecast.overdue]
        known = [day for day in dates if day is not None]
        assert known == sorted(known)
        if forecast.latest is not None:
            assert forecast.recommended <= forecast.latest
            assert forecast.latest >= ON
        if forecast.status == "future":
            assert forecast.recommended > ON
        elif forecast.status == "due":
            assert forecast.recommended <= ON
            assert forecast.overdue is None or forecast.overdue > ON
        elif forecast.status == "overdue":
            assert forecast.overdue <= ON
        assert forecast.reasons


@settings(max_examples=100, deadline=None)
@given(lives(), words, st.randoms(use_true_random=False))
def test_order_of_input_does_not_matter(life, more, random):
    patient, events = life
    shuffled = list(events)
    random.shuffle(shuffled)
    others = circumstances(more)
    mixed = list(others)
    random.shuffle(mixed)
    one, other = assess(patient, events, others, ON), assess(patient, shuffled, mixed, ON)
    assert recommendation(one, patient) == recommendation(other, patient)
    assert evaluations(one, patient) == evaluations(other, patient)


@settings(max_examples=150, deadline=None)
@given(lives(), st.sampled_from(sorted(VACCINES)), st.integers(0, 400))
def test_valid_dose_more_never_makes_the_next_one_earlier_nor_begins_anew(life, name, back):
    patient, events = life
    birth = date.fromisoformat(patient["birthDate"])
    last = max((date.fromisoformat(e["occurrenceDateTime"]) for e in events), default=birth)
    day = max(last + timedelta(days=1), ON - timedelta(days=back))
    if day > ON or day < birth:
        return
    before = assess(patient, events, [], ON)
    more = [*events, event(birth, (day - birth).days, name)]
    after = series_of(assess(patient, more, [], ON))
    for target, (was, track) in series_of(before).items():
        now, longer = after[target]
        if now.series.id != was.series.id:
            continue
        # What is judged once stays so: nothing is begun anew.
        assert longer.judged[: len(track.judged)] == tuple(
            replace(judged, vaccination=again.vaccination)
            for judged, again in zip(track.judged, longer.judged, strict=False)
        )
        assert len(longer.valid) >= len(track.valid)
        if len(longer.valid) > len(track.valid) and was.recommended and now.recommended:
            assert now.recommended >= was.recommended, (target, was, now)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives(), words)
def test_every_answer_is_valid_fhir(life, more):
    patient, events = life
    found = assess(patient, events, circumstances(more), ON)
    validator = Validator()
    for resource in (recommendation(found, patient), *evaluations(found, patient)):
        validator.check(resource)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["coding", "code", "system", "value", "reference", "targetDisease"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
ELEMENTS = [
    "status", "vaccineCode", "occurrenceDateTime", "statusReason", "protocolApplied",
    "isSubpotent", "subpotentReason", "expirationDate", "id", "code", "clinicalStatus",
    "onsetDateTime", "valueQuantity", "valueDateTime", "effectiveDateTime", "reaction",
    "verificationStatus", "abatementDateTime",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(ELEMENTS), json, max_size=5), max_size=4),
    st.lists(
        st.dictionaries(st.sampled_from(ELEMENTS), json, max_size=5).flatmap(
            lambda d: st.sampled_from(["Condition", "Observation", "AllergyIntolerance"]).map(
                lambda t: {**d, "resourceType": t}
            )
        ),
        max_size=4,
    ),
    st.sampled_from(["completed", "not-done"]),
)
def test_nonsense_in_resources_is_passed_over(events, others, status):
    patient = {"resourceType": "Patient", "birthDate": "2020-02-29", "address": [{}], "gender": 3}
    events = [{"status": status, **e} for e in events]
    found = assess(patient, events, others, ON)
    recommendation(found, patient)
    evaluations(found, patient)


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(0, 240), st.integers(0, 240))
def test_longer_periods_end_later(day, one, two):
    short, long = sorted((one, two))
    assert period(f"{short}m").after(day) <= period(f"{long}m").after(day)


def test_day_that_does_not_exist_is_the_first_of_the_next_month():
    assert period("1y").after(date(2024, 2, 29)) == date(2025, 3, 1)
    assert period("4y").after(date(2024, 2, 29)) == date(2028, 2, 29)
    assert period("1m").after(date(2026, 1, 31)) == date(2026, 3, 1)
    assert period("2m").after(date(2025, 12, 31)) == date(2026, 3, 1)
    assert period("1m").after(date(2026, 11, 30)) == date(2026, 12, 30)
    assert period("9999y").after(date(2026, 1, 1)) == date.max


def test_forecast_takes_a_few_milliseconds():
    birth = date(1960, 5, 5)
    names = sorted(VACCINES)
    events = [event(birth, 60 + 300 * n, names[n % len(names)]) for n in range(60)]
    patient = {"resourceType": "Patient", "id": "p", "birthDate": birth.isoformat()}
    recommendation(assess(patient, events, [], ON), patient)
    taken = []
    for _ in range(10):
        start = time.perf_counter()
        recommendation(assess(patient, events, [], ON), patient)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.02
