"""The story of one citizen's space, told by clients that speak nothing but HTTP to a server.

    fhirserver load examples/*.json --database sqlite:////tmp/story.db
    python examples/story/prepare.py --database sqlite:////tmp/story.db --key /tmp/story-key.json
    fhirserver serve --database sqlite:////tmp/story.db &
    python examples/story --base http://127.0.0.1:8080/fhir --key /tmp/story-key.json

Everybody in it is invented. It can be told again on the same server. The end is exit code 0 when
each thing was as the story says, and 1 with the sentence that was not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from chapters import CHAPTERS
from server import Server
from telling import Story, Wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Tell the story of one citizen's space.")
    parser.add_argument("--base", required=True, help="FHIR base URL of a running server")
    parser.add_argument("--key", required=True, help="the key that prepare.py has made")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for the server")
    given = parser.parse_args()
    key = json.loads(Path(given.key).read_text())
    story = Story(Server(given.base.rstrip("/"), key, given.patience))
    try:
        for number, chapter in enumerate(CHAPTERS, 1):
            story.chapter(number, chapter.__doc__ or chapter.__name__)
            chapter(story)
    except Wrong as wrong:
        story.fails(str(wrong))
        return 1
    story.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
