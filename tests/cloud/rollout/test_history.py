"""Roll-outs as their audit log tells them."""

from pathlib import Path

from cloud.rollout.history import stories
from cloud.rollout.report import write_report
from simulator.rollout_fleet import worse
from tests.cloud.rollout.stories import GOOD, PLACE, fleet_running, log, roll_out, state

PNG = b"\x89PNG\r\n\x1a\n"


def test_two_rollouts_are_two_stories_and_a_page_with_a_picture_each(tmp_path: Path) -> None:
    fleet = fleet_running(gateways=2, rings="1,rest", candidate=worse(GOOD, refused="golden frames disagree"))
    fleet.behaviours[3] = GOOD
    roll_out(tmp_path / "state", fleet)
    fleet.gateways["gateway-1"].failed = fleet.gateways["gateway-2"].failed = ""
    roll_out(tmp_path / "state", fleet, 3)

    told = stories(log(tmp_path / "state").events)

    assert [(story.release, story.how, story.by) for story in told] == [
        ("flange@2", "reverted", "ann@desk"),
        ("flange@3", "done", "ann@desk"),
    ]
    assert told[1].rings == tuple(ring.names for ring in state(tmp_path / "state").plan.rings)
    page = write_report(
        tmp_path / "report", PLACE, told[1], told[1].rings, log(tmp_path / "state"), fleet.reports(told[1].began_us)
    )
    text = page.read_text()
    assert text.startswith("# flange@3 on shop\n\n**done**: all 2 rings run flange@3")
    assert "entries, whole; head" in text
    assert page.with_suffix(".png").read_bytes().startswith(PNG)
    assert f"]({page.stem}.png)" in text


def test_a_log_alone_makes_a_page_too(tmp_path: Path) -> None:
    fleet = fleet_running(gateways=2, rings="1,rest")
    roll_out(tmp_path / "state", fleet)
    (story,) = stories(log(tmp_path / "state").events)

    page = write_report(tmp_path / "report", PLACE, story, story.rings, log(tmp_path / "state"), [])

    assert page.with_suffix(".png").read_bytes().startswith(PNG)
