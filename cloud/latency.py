"""How long variants take; gateways measure the same way, so it lies in models/."""

from models.latency import Latency, compare_latency

__all__ = ["Latency", "compare_latency"]
