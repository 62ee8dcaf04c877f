"""Numbers for the health insurance: by department and month, of nobody in particular."""

from __future__ import annotations

import asyncio

from access_door import document
from messaging_people import citizen, establishment, professional
from space_people import doors, insurance, newborn, today, weeks_ago

from fhirserver.space.statistics import count_on

MEASURE = "Measure/space-statistics/$evaluate-measure"
MONTH = today().strftime("%Y-%m")
PERIOD = f"?periodStart={today().year}-01-01&periodEnd={today().year}-12-31"

door = doors(smallest_count=3)


async def numbers(person, period=PERIOD):
    answer = await person.get(MEASURE + period)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["resourceType"], report["type"]) == ("MeasureReport", "summary")
    found = {}
    for group in report["group"]:
        name = group["code"]["coding"][0]["code"]
        for stratifier in group.get("stratifier", []):
            for stratum in stratifier["stratum"]:
                month, home = (c["value"]["text"] for c in stratum["component"])
                population = stratum["population"][0]
                found[name, month, home] = population.get("count", population.get("_count"))
    return found


async def test_openings_and_documents_are_counted_once_and_small_numbers_are_masked(door):
    insurer = await insurance(door)
    before = await numbers(insurer)
    opened = []
    for code in ("34000", "34000", "34000", "35000"):
        patient = await insurer.registers(newborn(code))
        await insurer.until(await insurer.informs(patient, weeks_ago(7)), status="completed")
        opened.append(patient)
    for number in range(4):
        await door.put(document(f"s{number}", opened[0]["id"], status="current"))
    await door.put(document("s0", opened[0]["id"], status="superseded"))  # the same one again
    await asyncio.gather(*(count_on(door.context) for _ in range(4)))  # as several processes
    found = await numbers(insurer)
    assert found["spaces-opened", MONTH, "34"] == 3
    assert found["spaces-opened", MONTH, "35"]["extension"][0]["valueCode"] == "masked"
    assert found["documents-fed", MONTH, "34"] == 4
    assert ("documents-fed", MONTH, "35") not in found
    again = await numbers(insurer)
    assert again == found
    assert {k: v for k, v in found.items() if k in before} == before
    assert await numbers(insurer, "?periodStart=2000-01&periodEnd=2000-12") == {}
    text = (await insurer.get(MEASURE + PERIOD)).text
    for patient in opened:
        assert patient["id"] not in text
        assert patient["identifier"][0]["value"] not in text


async def test_statistics_are_for_operators_and_services_and_of_no_single_person(door):
    insurer, hospital = await insurance(door), await establishment(door)
    for person in (await citizen(door), await professional(door)):
        assert (await person.get(MEASURE + PERIOD)).status_code == 403
    assert (await hospital.get(MEASURE + PERIOD)).status_code == 200
    for wrong in ("", "?periodStart=2026", "?periodStart=2026-02&periodEnd=2026-01",
                  f"{PERIOD}&reportType=individual", f"{PERIOD}&subject=Patient/1"):  # fmt: skip
        assert (await insurer.get(MEASURE + wrong)).status_code == 400, wrong
    assert (await insurer.get(f"Measure/other/$evaluate-measure{PERIOD}")).status_code == 404
    url = "http://fhirserver.example/Measure/space-statistics"
    answer = await insurer.get(f"Measure/$evaluate-measure{PERIOD}&measure={url}")
    assert answer.status_code == 200
