"""A gateway of processes in a scenario, and everything that is wrong with it at the moment."""

import logging
from collections.abc import Sequence

from greengrass.recipe import GATEWAY
from models.errors import TidegateError
from simulator.bad_link import Knobs
from simulator.camera_server import Camera, Shows
from simulator.light.fleet import condition_of, weather_of
from simulator.light.gateway import Condition
from simulator.light.happenings import Fault
from simulator.light.link import Weather
from simulator.nucleus.nucleus import Nucleus

log = logging.getLogger(__name__)

# what the camera shows while it is, in health's words
_SHOWN: dict[str, Shows] = {"ok": "scene", "down": "gone", "stalled": "nothing", "frozen": "frozen", "dark": "black"}


class ProcessGateway:
    """A simulated core device with the real component, and the camera that it looks at."""

    def __init__(self, name: str, site: str, nucleus: Nucleus, camera: Camera) -> None:
        self.name, self.site = name, site
        self.nucleus, self.camera = nucleus, camera
        self._faults: list[Fault] = []
        self._weather, self._condition = Weather(), Condition()

    def begin(self, fault: Fault) -> None:
        """Let it happen to this gateway. Whatever acts on the same part at the same time: the worst, or the latest."""
        if fault.what == "kill":
            self._kill()
            return
        if fault.what == "damaged_downloads":
            self.nucleus.damage_downloads(fault.downloads)
        elif fault.what == "broken_downloads":
            self.nucleus.break_off_downloads(fault.downloads)
        self._faults.append(fault)
        self._apply()

    def end(self, fault: Fault) -> None:
        """Let it be over, if it is not."""
        if fault not in self._faults:
            return
        if fault.what == "damaged_downloads":
            self.nucleus.damage_downloads(0)
        elif fault.what == "broken_downloads":
            self.nucleus.break_off_downloads(0)
        self._faults.remove(fault)
        self._apply()

    def _apply(self) -> None:
        self._supply(self._faults)
        weather, condition = weather_of(self._faults), condition_of(self._faults)
        if weather.cut != self._weather.cut:
            (self.nucleus.cut_network if weather.cut else self.nucleus.mend_network)()
        if self.nucleus.link is not None and not weather.cut:
            self.nucleus.link.knobs = Knobs(delay_s=weather.delay_s, loss=weather.loss)
        if condition.clock_s != self._condition.clock_s:
            self.nucleus.set_clock(condition.clock_s)
        if condition.slow != self._condition.slow:
            self.nucleus.slow_down(1 / condition.slow)
        if condition.disk_full != self._condition.disk_full:
            (self.nucleus.fill_disk if condition.disk_full else self.nucleus.free_disk)()
        self.camera.shows = _SHOWN[condition.camera]
        self._weather, self._condition = weather, condition

    def _supply(self, faults: Sequence[Fault]) -> None:
        has_power = all(fault.what != "power_cut" for fault in faults)
        if self.nucleus.is_on and not has_power:
            self.nucleus.power_cut()
        elif has_power and not self.nucleus.is_on:
            self.nucleus.start()

    def _kill(self) -> None:
        try:
            self.nucleus.kill(GATEWAY)
        except TidegateError as exc:
            log.info("nothing to kill: %s", exc)  # it is off, or between two versions
