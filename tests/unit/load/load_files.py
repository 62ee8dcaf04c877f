"""Resources, Bundles and archives for the tests of load."""

import io
import json
import tarfile
import zipfile


def patient(id, **elements):
    return {"resourceType": "Patient", "id": id, **elements}


def post(url, resource, **request):
    return {
        "fullUrl": url,
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"], **request},
    }


def transaction(*entries, type="transaction"):
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def dump(resource):
    return json.dumps(resource).encode()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def tarred(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()
