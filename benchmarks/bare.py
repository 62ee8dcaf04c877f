"""A bare ASGI application that sends prepared answers: what bounds a server on uvicorn.

`python -m benchmarks.bare PORT FILE`; FILE holds {"path?query": [status, [[name, value]], body]}
with everything in latin-1. uvicorn is set up as `fhirserver serve` does it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def application(file: Path) -> Any:
    answers: dict[bytes, tuple[Any, Any]] = {}
    for path, (status, headers, body) in json.loads(file.read_text()).items():
        start = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers
            ],
        }
        answers[path.encode("latin-1")] = (
            start,
            {"type": "http.response.body", "body": body.encode("latin-1")},
        )

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": f"{scope['type']}.startup.complete"})
            await receive()
            await send({"type": f"{scope['type']}.shutdown.complete"})
            return
        query = scope["query_string"]
        path = scope["raw_path"]
        start, body = answers[path + b"?" + query if query else path]
        await send(start)
        await send(body)

    return bare


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        application(Path(sys.argv[2])),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        lifespan="on",
        ws="none",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        log_level="warning",
    )
