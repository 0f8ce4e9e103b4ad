"""The whole loop on a real detector and a real video."""

import json
from pathlib import Path

import cv2
import pytest

import tidegate


@pytest.mark.real
@pytest.mark.timeout(400)
def test_every_frame_of_a_video_is_in_the_lake_once_though_a_gateway_is_killed(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, video = shared_data / "models", shared_data / "videos" / "bottle-detection.mp4"
    run, out = tmp_path / "coco", tmp_path / "demo"
    adapter = ["--adapter", "fastestdet", "--labels", str(models / "coco.names"), "--name", "coco", "--out", str(run)]
    assert tidegate.main(["import", str(models / "FastestDet.onnx"), *adapter]) == 0
    # the smallest fleet with three rings: it is the frames that count here
    words = ["demo", "--model", str(run), "--camera", str(video), "--gateways", "3", "--out", str(out)]
    assert tidegate.main(words) == 0
    report = json.loads((out / "report.json").read_bytes())
    assert report["holds"]
    assert {plot.name for plot in out.glob("*.png")} >= {"bytes.png", "gateways.png", "rollouts.png"}

    capsys.readouterr()
    sql = (
        "SELECT gateway, count(*) AS rows, count(DISTINCT frame) AS numbers, min(frame) AS first, max(frame) AS last, "
        "count(DISTINCT stream) AS streams FROM frames GROUP BY gateway ORDER BY gateway"
    )
    assert tidegate.main(["query", sql, "--lake", str(out / "cloud" / "lake"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    frames = int(cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT))
    assert [row["gateway"] for row in rows] == ["gateway-1", "gateway-2", "gateway-3"]
    for row in rows:
        assert (row["rows"], row["numbers"], row["first"], row["last"]) == (frames, frames, 0, frames - 1)
    # the one that was killed began a new stream
    assert [row["streams"] for row in rows] == [1, 2, 1]

    sql = "SELECT label, count(*) AS n FROM results GROUP BY label ORDER BY n DESC LIMIT 1"
    assert tidegate.main(["query", sql, "--lake", str(out / "cloud" / "lake"), "--json"]) == 0
    (most,) = json.loads(capsys.readouterr().out)
    assert most["label"] == "bottle"
    assert most["n"] > 3 * frames
