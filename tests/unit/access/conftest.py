import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
sys.path += [str(TESTS / "unit" / "interaction"), str(TESTS / "rest")]
