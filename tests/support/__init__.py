"""What tests share: the worlds they play in, the programs they run, what they compare with."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
