"""The operations this server has, by code (https://hl7.org/fhir/R4/operationslist.html)."""

from __future__ import annotations

from fhirserver.operation.app_activity import app_activity
from fhirserver.operation.apps import apps
from fhirserver.operation.book import book
from fhirserver.operation.calendar_address import calendar_address, calendar_withdraw
from fhirserver.operation.call import Call, Operation
from fhirserver.operation.docref import docref
from fhirserver.operation.document import document
from fhirserver.operation.end_thread import end_thread
from fhirserver.operation.erase_space import erase_space
from fhirserver.operation.evaluate_measure import evaluate_measure
from fhirserver.operation.everything import everything
from fhirserver.operation.explain_access import explain_access
from fhirserver.operation.export_space import export_space
from fhirserver.operation.file_attachment import file_attachment
from fhirserver.operation.find import find
from fhirserver.operation.hold import hold
from fhirserver.operation.immds_forecast import immds_forecast
from fhirserver.operation.mark_read import mark_read
from fhirserver.operation.meta import meta, meta_add, meta_delete
from fhirserver.operation.prevention_programme import prevention_programme
from fhirserver.operation.reindex import reindex, reindex_status
from fhirserver.operation.summary import summary
from fhirserver.operation.thread import thread
from fhirserver.operation.unread import unread
from fhirserver.operation.validate import validate

_HL7 = "http://hl7.org/fhir/OperationDefinition/"
_SCHEDULING = "https://profiles.ihe.net/ITI/Scheduling/OperationDefinition/"
_OWN = "http://fhirserver.example/OperationDefinition/"

OPERATIONS: dict[str, Operation] = {
    operation.code: operation
    for operation in (
        Operation(
            "app-activity",
            app_activity,
            _OWN + "app-activity",
            instance=True,
            types=frozenset({"Patient"}),
        ),
        Operation("apps", apps, _OWN + "apps", instance=True, types=frozenset({"Patient"})),
        Operation(
            "docref",
            docref,
            "http://hl7.org/fhir/uv/ipa/OperationDefinition/docref",
            type=True,
            types=frozenset({"DocumentReference"}),
        ),
        Operation(
            "document",
            document,
            _HL7 + "Composition-document",
            type=True,
            instance=True,
            types=frozenset({"Composition"}),
        ),
        Operation(
            "end-thread",
            end_thread,
            _OWN + "end-thread",
            instance=True,
            types=frozenset({"Communication"}),
            affects_state=True,
            get=False,
        ),
        Operation(
            "erase-space",
            erase_space,
            _OWN + "erase-space",
            instance=True,
            types=frozenset({"Patient"}),
            affects_state=True,
            get=False,
        ),
        Operation(
            "evaluate-measure",
            evaluate_measure,
            _HL7 + "Measure-evaluate-measure",
            type=True,
            instance=True,
            types=frozenset({"Measure"}),
        ),
        Operation(
            "everything",
            everything,
            _HL7 + "Patient-everything",
            type=True,
            instance=True,
            types=frozenset({"Patient", "Encounter"}),
        ),
        Operation(
            "explain-access",
            explain_access,
            _OWN + "explain-access",
            instance=True,
            types=frozenset({"Patient"}),
        ),
        Operation(
            "export-space",
            export_space,
            _OWN + "export-space",
            instance=True,
            types=frozenset({"Patient"}),
        ),
        Operation(
            "file-attachment",
            file_attachment,
            _OWN + "file-attachment",
            instance=True,
            types=frozenset({"Communication"}),
            affects_state=True,
            get=False,
        ),
        Operation(
            "immds-forecast",
            immds_forecast,
            "http://hl7.org/fhir/us/immds/OperationDefinition/ImmDSForecastOperation",
            system=True,
            instance=True,
            types=frozenset({"Patient"}),
        ),
        Operation(
            "calendar-address",
            calendar_address,
            _OWN + "calendar-address",
            instance=True,
            types=frozenset({"Patient"}),
            affects_state=True,
            get=False,
        ),
        Operation(
            "calendar-withdraw",
            calendar_withdraw,
            _OWN + "calendar-withdraw",
            instance=True,
            types=frozenset({"Patient"}),
            affects_state=True,
            get=False,
        ),
        Operation(
            "find",
            find,
            _SCHEDULING + "appointment-find",
            type=True,
            instance=True,
            types=frozenset({"Appointment", "Schedule"}),
        ),
        Operation(
            "hold",
            hold,
            _SCHEDULING + "appointment-hold",
            type=True,
            instance=True,
            types=frozenset({"Appointment", "Slot"}),
            affects_state=True,
            get=False,
        ),
        Operation(
            "book",
            book,
            _SCHEDULING + "appointment-book",
            type=True,
            instance=True,
            types=frozenset({"Appointment", "Slot"}),
            affects_state=True,
            get=False,
        ),
        Operation(
            "mark-read",
            mark_read,
            _OWN + "mark-read",
            instance=True,
            types=frozenset({"Communication"}),
            affects_state=True,
            get=False,
        ),
        Operation("meta", meta, _HL7 + "Resource-meta", system=True, type=True, instance=True),
        Operation(
            "meta-add",
            meta_add,
            _HL7 + "Resource-meta-add",
            instance=True,
            affects_state=True,
            get=False,
        ),
        Operation(
            "meta-delete",
            meta_delete,
            _HL7 + "Resource-meta-delete",
            instance=True,
            affects_state=True,
            get=False,
        ),
        Operation(
            "prevention-programme",
            prevention_programme,
            _OWN + "prevention-programme",
            instance=True,
            types=frozenset({"Patient"}),
        ),
        Operation(
            "reindex",
            reindex,
            _OWN + "reindex",
            system=True,
            type=True,
            affects_state=True,
            get=False,
        ),
        Operation("reindex-status", reindex_status, _OWN + "reindex-status", system=True),
        Operation(
            "summary",
            summary,
            "http://hl7.org/fhir/uv/ips/OperationDefinition/summary",
            type=True,
            instance=True,
            types=frozenset({"Patient"}),
        ),
        Operation(
            "thread",
            thread,
            _OWN + "thread",
            instance=True,
            types=frozenset({"Communication"}),
        ),
        Operation("unread", unread, _OWN + "unread", type=True, types=frozenset({"Communication"})),
        Operation(
            "validate",
            validate,
            _HL7 + "Resource-validate",
            type=True,
            instance=True,
            get=True,
        ),
    )
}

__all__ = ["OPERATIONS", "Call", "Operation"]
