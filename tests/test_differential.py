"""Random specs: what is generated computes what the equations say, gradients and running statistics included.

`make test` compares 50 specs, `make fuzz` 500 (CLDFC_FUZZ).
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from random_specs import feature_specs, random_specs

from cldfc.diagnostics import Source
from cldfc.task import read_task
from cldfc.verify.report import report_lines
from cldfc.verify.subject import prepare
from cldfc.verify.verify import verify_forms

pytestmark = pytest.mark.usefixtures("one_thread")

COUNT = max(50, int(os.environ.get("CLDFC_FUZZ", "2000")) // 200)
TOLERANCE = 1e-10


def agree(text: str) -> None:
    """Fail unless all forms of a spec agree with its equations."""
    subject, forms = prepare(Source("random.cldf", text), read_task())
    report = verify_forms(subject, forms, TOLERANCE)
    assert report.agrees, "\n".join(["", text, *report_lines(report, TOLERANCE)])


@settings(max_examples=COUNT * 3 // 5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random_specs())
def test_every_kind_of_network(text: str):
    agree(text)


@settings(max_examples=COUNT * 2 // 5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(feature_specs())
def test_variations_of_algorithm_2(text: str):
    agree(text)
