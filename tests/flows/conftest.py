"""The gateways' videos, keys and releases (tests/edge/conftest.py), for stories too."""

from tests.edge.conftest import eventually, keys, make_release, make_video, trust

__all__ = ["eventually", "keys", "make_release", "make_video", "trust"]
