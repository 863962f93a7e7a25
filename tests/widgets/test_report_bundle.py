"""A result that holds a profile is shown live where that is possible, and whole where it is not."""

from tests.trace.made import full
from workbench.pipeline.result import Result
from workbench.trace import DifferenceReport, TraceReport
from workbench.widgets.live import MIME
from workbench.widgets.views import mimebundle


def test_a_profile_is_live_and_static():
    report = TraceReport(full())
    bundle = mimebundle(Result("profile of x", pictures=(report,), details={"report": report}))
    assert bundle[MIME]["view"] == "profile"
    assert bundle[MIME]["data"]["summary"][0] == "profile of x"
    assert "Cost by line" in bundle["text/html"]
    assert "Cost by line" in bundle["text/plain"]


def test_so_is_a_comparison():
    report = DifferenceReport(full(), full())
    bundle = mimebundle(Result("a → b", pictures=(report,), details={"report": report}))
    assert bundle[MIME]["data"]["compare"]


def test_other_reports_and_results_have_no_live_view():
    assert MIME not in mimebundle(Result("status", details={"report": "text"}))
    assert MIME not in mimebundle(Result("status"))
