"""Registers the clients of the story with `fhirserver client add`, before the server is asked.

    python examples/story/prepare.py --database sqlite:////tmp/story.db --key /tmp/story-key.json

The key is made here, kept in that file, and its public half is what the server knows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from joserfc.jwk import ECKey

CALLBACK = "https://story.example/callback"
_PEOPLE = "launch/patient openid fhirUser patient/*.cruds user/*.cruds"
_SERVICE = "system/*.cruds"

#: Client id, name, type, further options.
CLIENTS = (
    ("story-space", "My health space", "public", ("--scope", _PEOPLE)),
    ("story-practice", "Software of the practice", "public", ("--scope", _PEOPLE)),
    ("story-hospital", "Hospital of the Garonne", "backend",
     ("--scope", _SERVICE, "--organization", "Organization/ch-garonne")),
    ("story-publisher", "Publisher of the story", "backend",
     ("--scope", _SERVICE, "--role", "publisher",
      "--organization", "Organization/editeur-garonne")),
    ("story-operator", "Operator", "backend", ("--scope", _SERVICE, "--role", "operator")),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Register the clients of the story.")
    parser.add_argument("--database", required=True)
    parser.add_argument("--key", required=True, help="file that gets the private key")
    given = parser.parse_args()
    key = ECKey.generate_key("P-384", {"kid": "story", "use": "sig"})
    Path(given.key).touch(mode=0o600)
    Path(given.key).write_text(json.dumps(key.as_dict(private=True)))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as public:
        json.dump({"keys": [key.as_dict(private=False)]}, public)
        public.flush()
        for id, name, kind, options in CLIENTS:
            command = [sys.executable, "-m", "fhirserver.cli", "client", "add"]
            command += ["--id", id, "--name", name, "--type", kind]
            command += ["--database", given.database, *options]
            command += (
                ["--jwks", public.name] if kind == "backend" else ["--redirect-uri", CALLBACK]
            )
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
