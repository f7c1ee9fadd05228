"""The sandbox's own page."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.harness.scenes import HISTORY, sandbox_with_a_history

#: Left, top, right and bottom of each, at one moment: the page draws itself anew every second.
BOXES = """bars => bars.map(bar => {
    const box = bar.getBoundingClientRect();
    return [box.left, box.top, box.right, box.bottom];
})"""


def overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 1 and down > 1


def test_scopes_are_lanes_jobs_are_bars_and_refusals_are_ticks(page: Page):
    with sandbox_with_a_history() as zilliant:
        page.goto(zilliant.url)
        expect(page.locator("#numbers")).to_contain_text("refused")
        lanes = page.locator(".lane")
        expect(lanes).to_have_count(len({scope for _, scope, *_ in HISTORY}))
        for lane in lanes.all():
            name = lane.locator(".name").inner_text().splitlines()[0]
            told = [(result, seconds) for _, scope, _, seconds, result in HISTORY if (scope or "(no scope)") == name]
            expect(lane.locator(".bar:not(.QUEUED)")).to_have_count(sum(bool(result) for result, _ in told))
            expect(lane.locator(".tick")).to_have_count(sum(not result for result, _ in told))
            expect(lane.locator(".bar.FAILED")).to_have_count(sum(result == "FAILED" for result, _ in told))
            bars = lane.locator(".bar, .tick").evaluate_all(BOXES)
            assert not any(overlap(one, other) for i, one in enumerate(bars) for other in bars[:i]), name
        expect(page.locator(".bar.QUEUED")).to_have_count(1)
        expect(page.get_by_role("row").nth(1)).to_contain_text("202 accepted")
