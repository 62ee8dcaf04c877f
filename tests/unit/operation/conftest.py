import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interaction"))

from interaction_fixtures import ctx, engine, make_context, validator

__all__ = ["ctx", "engine", "make_context", "validator"]
