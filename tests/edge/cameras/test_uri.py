"""What is printed of a camera's address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.uri import complaint, is_live, local_index, public


@pytest.mark.parametrize(
    ("uri", "printed"),
    [
        ("rtsp://admin:secret@10.0.0.7/stream", "rtsp://admin:***@10.0.0.7/stream"),
        ("rtsp://:secret@10.0.0.7/stream", "rtsp://:***@10.0.0.7/stream"),
        ("http://secret@10.0.0.7:81/", "http://***@10.0.0.7:81/"),  # a token instead of a name
        ("http://10.0.0.7/video?channel=1&pwd=secret", "http://10.0.0.7/video?channel=***&pwd=***"),
        ("rtsp://10.0.0.7/user=admin_password=secret_channel=1", "rtsp://10.0.0.7/user=admin_password=***_channel=1"),
        ("rtsp://a:b@c:secret@10.0.0.7/x", "rtsp://a:***@10.0.0.7/x"),  # an @ that should have been %40
        ("rtsp://admin:se/cret@10.0.0.7/x", "rtsp://admin:***@10.0.0.7/x"),
        ("rtsp://10.0.0.7:8554/a@b", "rtsp://10.0.0.7:***@b"),  # rather too little than too much
        ("usb:0", "usb:0"),
        ("videos/a:b@c.mp4", "videos/a:b@c.mp4"),
    ],
)
def test_what_is_printed(uri: str, printed: str) -> None:
    assert public(uri) == printed


word = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=6, max_size=12).map("xyz".__add__)
odd = st.text("/:@?#&=%+ ", max_size=4)


@given(st.sampled_from(["rtsp", "http", "ftp"]), word, odd, st.sampled_from(["admin:", ":"]))
def test_no_password_is_ever_printed(scheme: str, password: str, rest: str, user: str) -> None:
    uri = f"{scheme}://{user}{password}{rest}@192.0.2.7:554/stream"
    assert password not in public(uri)
    assert password not in complaint(uri)


def test_kinds() -> None:
    assert all(map(is_live, ("usb:1", "/dev/video2", "picamera:0", "http://a/", "rtsps://a/")))
    assert not any(map(is_live, ("belt.mp4", "file:///belt.mp4", "pictures/")))
    assert [local_index(uri) for uri in ("usb:1", "/dev/video12", "picamera:0")] == [1, 12, 0]
