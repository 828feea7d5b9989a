"""The page on learners shows every kind, and what it shows is valid."""

import re
from pathlib import Path

import pydantic
import yaml

from orchestrator.jobs.job_schema import LEARNER_KINDS
from workers.learner_specs import LearnerSpec

PAGE = (Path(__file__).parents[2] / "docs" / "learners.md").read_text(encoding="utf-8")


def test_every_kind_has_a_row_and_every_learner_shown_is_valid():
    assert set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, flags=re.MULTILINE)) == set(LEARNER_KINDS)
    shown = re.findall(r"^```yaml\n(learner:.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    adapter = pydantic.TypeAdapter(LearnerSpec)
    kinds = {adapter.validate_python(yaml.safe_load(block)["learner"]).kind for block in shown}
    assert kinds >= set(LEARNER_KINDS) - {"torch"}
