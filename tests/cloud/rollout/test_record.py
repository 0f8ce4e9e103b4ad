"""What a roll-out remembers, who may change it, and what happens to one who may not any more."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.rollout.events import Event, Row
from cloud.rollout.lease import LeaseHeldError, LeaseLostError, is_free, new_lease
from cloud.rollout.limits import Limits
from cloud.rollout.place import Place, places
from cloud.rollout.plan import Plan, Ring, Wave, Wishes
from cloud.rollout.record import Found, find, hold, put_new
from cloud.rollout.state import Beside, Heard, Order, Rollout, Said, Touched, Undo
from greengrass.objects import DiskStore, ObjectStore
from models.errors import RolloutError, StoreError
from tests.cloud.rollout.named import gateways_named

PLACE = Place("shop", "flange")
ROLLOUT = Rollout(
    id="flange@2-x",
    plan=Plan(
        "flange",
        2,
        1,
        "shop",
        (Ring((Wave("shop_flange-ring-0", gateways_named(("a", "b"))),)),),
        Wishes(soak_s=(60.0, 0.0), approve=(1,), hours="22:00-05:00", max_in_flight=3),
    ),
    limits=Limits(windows=3),
    window_s=5.0,
    started_us=1,
    by="ann@desk",
    phase="reverting",
    beside=Beside(("deployment-0",), {"a": 12}, ("b",), 15),
    touched=(Touched({"a": 17}, ("b",), "deployment-1", 20),),
    undo=Undo("it was slow", deployments=("deployment-2",), marks={"a": 30}, since_us=40, instead_of=("deployment-1",)),
    successor=Order(3, "bob@desk", "1,rest"),
    said=Said({"d" * 64: (1, 2)}, (1, 2), {"parent": {"frames": 3}}),
    heard=Heard({"a": 5}, {"a": 4}),
    watched={"b": 0},
)
EVENT = Event(7, "flange@2-x", "advance", "ring 0 is well", 1, (Row("a", 0, 2, "well", windows=3, fps=8),), "ann@desk")


class Shaky(DiskStore):
    """A store whose next put fails: before it was done (`lose`), or after, its answer lost (`lose_answer`)."""

    lose = lose_answer = False

    def put_if(self, key: str, data: bytes, version: str | None) -> str:
        if self.lose:
            self.lose = False
            raise StoreError("No space left on device")
        version = super().put_if(key, data, version)
        if self.lose_answer:
            self.lose_answer = False
            raise StoreError("S3 cannot be reached")
        return version


@pytest.fixture
def store(tmp_path: Path) -> Shaky:
    return Shaky(tmp_path)


def begun(store: ObjectStore, rollout: Rollout = ROLLOUT) -> None:
    put_new(store, PLACE, rollout, EVENT, who="ann@desk")


def there(store: ObjectStore) -> Found:
    found = find(store, PLACE)
    assert found is not None
    return found


@pytest.mark.parametrize("rollout", [ROLLOUT, replace(ROLLOUT, undo=None, touched=(), beside=None, successor=None)])
def test_what_is_written_is_read(store: Shaky, rollout: Rollout) -> None:
    begun(store, rollout)

    assert there(store).record.rollout == rollout
    assert there(store).log(store, PLACE).events == (replace(EVENT, rows=(replace(EVENT.rows[0], fps=8.0),)),)
    assert list(places(store)) == [PLACE]


def test_there_may_be_none(store: Shaky) -> None:
    assert find(store, PLACE) is None
    with pytest.raises(RolloutError, match="there is no roll-out of flange in shop"), hold(store, PLACE, who="ann"):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a roll-out's state"),
        ('{"format": 3}', "is not a roll-out's state"),
        ('{"format": 2, "writes": 1}', "missing key 'rollout'; restore it"),
    ],
)
def test_a_state_that_is_none_says_so(store: Shaky, text: str, message: str) -> None:
    store.put(PLACE.state, text.encode())

    with pytest.raises(RolloutError, match=message):
        find(store, PLACE)


@pytest.mark.parametrize("phase", ["rolling", "revert-failed"])
def test_an_unfinished_one_of_the_first_format_is_not_built_upon(store: Shaky, phase: str) -> None:
    store.put("shop/flange/state.json", json.dumps({"format": 1, "phase": phase}).encode())

    with pytest.raises(RolloutError, match=rf"is of an older tidegate and unfinished \({phase}\); finish or revert it"):
        find(store, PLACE)


def test_a_finished_one_of_the_first_format_is_history(store: Shaky) -> None:
    store.put("shop/flange/state.json", json.dumps({"format": 1, "phase": "done"}).encode())

    assert find(store, PLACE) is None


def test_one_rollout_of_a_model_and_fleet_at_a_time(store: Shaky) -> None:
    begun(store)

    with pytest.raises(RolloutError, match=r"flange@2 to shop is unfinished \(reverting\); finish it with"):
        begun(store)

    put_new(store, Place("shop", "coco"), ROLLOUT, EVENT, who="ann@desk")
    put_new(store, Place("yard", "flange"), ROLLOUT, EVENT, who="ann@desk")


def test_the_next_one_goes_on_in_the_same_log(store: Shaky) -> None:
    begun(store, replace(ROLLOUT, phase="done", successor=None))
    begun(store, replace(ROLLOUT, id="flange@3-x"))

    log = there(store).log(store, PLACE)
    assert (len(log.events), log.damage) == (2, "")


def test_only_one_acts_at_a_time_and_the_next_one_at_once_when_it_is_let_go(store: Shaky) -> None:
    begun(store)

    refused = pytest.raises(LeaseHeldError, match=r"ann@desk \(pid \d+\) acts on it, seen 0 s ago")
    with hold(store, PLACE, who="ann@desk"), refused, hold(store, PLACE, who="bob@desk"):
        pass

    with hold(store, PLACE, who="bob@desk") as held:
        assert held.who == "bob@desk"


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    begun(store)
    code = (
        "import pathlib, sys, time; from greengrass.objects import DiskStore; from cloud.rollout.place import Place\n"
        "from cloud.rollout.record import hold\n"
        "with hold(DiskStore(pathlib.Path(sys.argv[1])), Place('shop', 'flange'), who='bob'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeldError, match=rf"bob \(pid {other.pid}\)"), hold(store, PLACE, who="ann"):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait(10)

        with hold(store, PLACE, who="ann") as held:
            assert held.rollout == ROLLOUT


def test_on_another_machine_the_lease_of_a_dead_process_runs_out() -> None:
    elsewhere = replace(new_lease("bob", for_s=120), process="other-boot/pid:[1]/17")

    assert [is_free(elsewhere, age_s) for age_s in (0, 119, 121)] == [False, False, True]
    assert not is_free(elsewhere, -30)
    assert is_free(elsewhere, -7200)  # the clock was put back by two hours; a living holder would have written since


def test_who_lost_the_lease_writes_nothing_more(store: Shaky, tmp_path: Path) -> None:
    begun(store)
    with hold(store, PLACE, who="ann@desk") as held:
        _age(tmp_path, 300)
        with hold(store, PLACE, who="bob@desk") as other:
            other.put(replace(ROLLOUT, outcome="bob was here"), replace(EVENT, text="bob was here"))
            with pytest.raises(LeaseLostError, match="was taken over: bob@desk"):
                held.put(ROLLOUT, EVENT)

    assert there(store).record.rollout.outcome == "bob was here"
    log = there(store).log(store, PLACE)
    assert ([event.text for event in log.events], log.damage) == (["ring 0 is well", "bob was here"], "")


@pytest.mark.parametrize("written", [False, True])
def test_after_a_put_whose_answer_was_lost_it_goes_on_from_what_is_there(store: Shaky, written: bool) -> None:
    begun(store)
    with hold(store, PLACE, who="ann@desk") as held:
        store.lose, store.lose_answer = not written, written
        with pytest.raises(StoreError):
            held.put(replace(ROLLOUT, outcome="first"), replace(EVENT, text="first"))

        held.settle()
        assert held.rollout.outcome == ("first" if written else "")
        held.put(replace(ROLLOUT, outcome="second"), replace(EVENT, text="second"))

    log = there(store).log(store, PLACE)
    told = ["ring 0 is well", "first", "second"] if written else ["ring 0 is well", "second"]
    assert ([event.text for event in log.events], log.damage) == (told, "")


def test_an_event_that_never_reached_the_log_is_put_there_by_the_next_one(store: Shaky) -> None:
    begun(store)
    store.remove(PLACE.audit(1))  # as if its writer had died between the two
    assert there(store).log(store, PLACE).damage == ""

    with hold(store, PLACE, who="ann@desk") as held:
        held.settle()

    assert list(store.list("audit/")) == [PLACE.audit(1)]


def test_a_state_that_is_gone_is_not_begun_anew_over_its_log(store: Shaky) -> None:
    begun(store)
    store.remove(PLACE.state)

    with pytest.raises(RolloutError, match="is gone, but its audit log is there"):
        begun(store)


def _age(folder: Path, seconds: float) -> None:
    path = folder / PLACE.state
    put_s = path.stat().st_mtime
    os.utime(path, (put_s - seconds, put_s - seconds))


@pytest.fixture
def log_of_five(store: Shaky) -> Shaky:
    begun(store)
    with hold(store, PLACE, who="ann@desk") as held:
        for number in range(2, 6):
            held.put(ROLLOUT, replace(EVENT, text=f"event {number}"))
    return store


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (3, lambda data: data.replace(b"event 3", b"event x"), "00000004.json does not follow from the entry before"),
        (5, lambda data: data.replace(b"event 5", b"event x"), "00000005.json was changed after it was written"),
        (1, lambda data: data.replace(b"well", b"bad!"), "00000002.json does not follow from the entry before"),
        (2, lambda data: data[:40], "00000002.json is no entry of an audit log"),
        (2, lambda data: None, "00000002.json is missing: somebody took it out"),
        (6, lambda data: b"{}", "00000006.json was put there by nobody who held the roll-out"),
    ],
)
def test_a_log_that_was_changed_says_so_in_a_line(
    log_of_five: Shaky, number: int, change: object, message: str
) -> None:
    key = PLACE.audit(number)
    data = change(log_of_five.get(key) if number < 6 else b"")  # type: ignore[operator]
    if data is None:
        log_of_five.remove(key)
    else:
        log_of_five.put(key, data)

    damage = there(log_of_five).log(log_of_five, PLACE).damage

    assert message in damage
    assert "\n" not in damage


def test_a_log_that_was_cut_off_says_so(log_of_five: Shaky) -> None:
    for number in (4, 5):
        log_of_five.remove(PLACE.audit(number))

    assert "00000004.json is missing" in there(log_of_five).log(log_of_five, PLACE).damage
