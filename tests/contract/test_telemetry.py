"""What a worker tells of its work, on a real Redis and with real processes: metrics, log lines, traces."""

import json
import os
import signal
import socket
from collections import Counter
from pathlib import Path

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from landpatch.celery import send
from landpatch.telemetry import derive_ids
from services.stack.ports import free_port
from tests.collector import collecting
from tests.contract import toys
from tests.contract.test_tasks import REGION, children, world
from tests.waiting import LONG_S, wait_until

pytestmark = pytest.mark.stack
__all__ = ["world"]

TASK = "labels.fetch_labels"


def samples(text):
    """Every sample by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(port):
    """What a worker tells; nothing while it does not listen."""
    try:
        return samples(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=LONG_S).text)
    except requests.ConnectionError:
        return {}


@pytest.fixture
def port():
    return free_port()


def listening(port):
    return {"LANDPATCH_METRICS_LISTEN": f"127.0.0.1:{port}"}


# metrics


def test_a_worker_tells_how_the_tasks_of_all_its_processes_have_ended(world, port):
    blocks = (toys.FINE, 20, 21, toys.TRANSIENT, toys.PERMANENT, toys.BUG, toys.KILLED_ONCE, toys.OUTAGE)
    world.add(*blocks)
    with world.working(**listening(port)):
        for block in blocks:
            send(world.message(block))
        send(world.message(toys.FINE))
        world.app.send_task(TASK, kwargs={"message": {}}, queue="labels")
        world.app.send_task("labels.no_such_task", kwargs={}, queue="labels")
        world.wait_until_over(*blocks)
        wait_until(lambda: len(world.ledger.refused()) == 2)
        found = scrape(port)
    ends = {
        end: found["landpatch_tasks_total", end, TASK] for end in ("done", "put_off", "outage", "gave_up")
    }
    # A process that was killed had no end to tell of: the lost attempt of KILLED_ONCE is in none of them.
    assert ends == {"done": 5, "put_off": 4, "outage": 6, "gave_up": 3}
    assert found["landpatch_tasks_total", "dropped", TASK] >= 0
    assert found["landpatch_refused_messages_total",] == 2
    assert found["landpatch_task_seconds_count", TASK] == sum(ends.values())
    assert found["landpatch_patches_total", "labels", "complete"] == 5
    assert found["landpatch_patches_total", "labels", "failed"] == 0


def test_a_process_that_was_killed_takes_nothing_with_it(world, port):
    before = (20, 21, 22, 23)
    world.add(*before, toys.FINE, toys.SLOW)
    with world.working(**listening(port)) as worker:
        for block in before:
            send(world.message(block))
        world.wait_until_over(*before)
        for number in children(worker.pid):
            os.kill(number, signal.SIGKILL)
        send(world.message(toys.FINE))
        world.wait_until_over(toys.FINE)
        found = scrape(port)
    assert found["landpatch_tasks_total", "done", TASK] == 5


def test_the_port_is_free_when_the_worker_is_gone_however_it_went(world, port):
    world.add(toys.KILLED_ONCE, toys.SLOW)
    worker = world.start_worker(**listening(port))
    try:
        # Its second process is forked while it serves already.
        send(world.message(toys.KILLED_ONCE))
        world.wait_until_over(toys.KILLED_ONCE)
        send(world.message(toys.SLOW))
        wait_until(lambda: world.begun(toys.SLOW))
        assert scrape(port)
    finally:
        worker.kill()
        worker.wait()
    with world.working(**listening(port)):
        wait_until(lambda: scrape(port))


def test_a_port_that_is_taken_stops_no_worker(world, port, tmp_path):
    world.add(toys.FINE)
    with (
        socket.create_server(("127.0.0.1", port)),
        (tmp_path / "log").open("w") as log,
        world.working(log=log, LANDPATCH_LOG="json", **listening(port)),
    ):
        send(world.message(toys.FINE))
        world.wait_until_over(toys.FINE)
    assert "metrics are not served" in (tmp_path / "log").read_text()


def test_without_the_setting_nobody_listens(world):
    world.add(toys.FINE)
    with world.working() as worker:
        send(world.message(toys.FINE))
        world.wait_until_over(toys.FINE)
        inet = psutil.Process(worker.pid).net_connections("inet")
        assert [each for each in inet if each.status == psutil.CONN_LISTEN] == []


# log lines


def lines_of(world, path, kind, *blocks):
    """What a worker writes while it does tasks."""
    world.add(*blocks)
    with path.open("w") as log, world.working(log=log, LANDPATCH_LOG=kind):
        for block in blocks:
            send(world.message(block))
        world.app.send_task(TASK, kwargs={"message": {}}, queue="labels")
        world.wait_until_over(*blocks)
        wait_until(world.ledger.refused)
    return path.read_text().splitlines()


def test_every_line_of_a_worker_is_json_and_those_of_a_task_say_which(world, tmp_path):
    blocks = (toys.FINE, toys.TRANSIENT, toys.PERMANENT, toys.BUG)
    lines = [line for line in lines_of(world, tmp_path / "log", "json", *blocks) if line]
    # What Celery writes from within a signal handler, on its way out, is no log line.
    events = [json.loads(line) for line in lines if not line.startswith("worker: ")]
    assert len(lines) - len(events) <= 2
    assert all({"event", "level", "timestamp"} <= event.keys() for event in events)
    tasks = Counter(event.get("task") for event in events if event.get("region") == REGION)
    assert tasks.keys() == {f"labels:{block}" for block in blocks}
    put_off = [event for event in events if event["event"] == "put off"]
    assert len(put_off) == 4
    for event in put_off:
        assert (event["region"], event["task"]) == (REGION, f"labels:{toys.TRANSIENT}")
        assert event["task_id"].startswith("FR101-2021.")
    of_celery = [event for event in events if event.get("logger", "").startswith("celery")]
    done = {each["task"]: each for each in of_celery if "succeeded" in each["event"] and "task" in each}
    assert done.keys() == tasks.keys() - {f"labels:{toys.BUG}"}
    assert {each["region"] for each in done.values()} == {REGION}
    received = [each for each in of_celery if "received" in each["event"]]
    assert all(each["task_id"] in each["event"] for each in received)
    (bug,) = [event for event in events if event["event"] == "unexpected"]
    assert "ZeroDivisionError: a bug" in bug["exception"]
    # What belongs to no task says so by saying nothing: not what the task before was.
    refused = [event for event in events if event["event"] == "message refused"]
    assert [event.get("region") for event in refused] == [None]


def test_for_a_person_a_line_is_text_and_says_the_same(world, tmp_path):
    lines = lines_of(world, tmp_path / "log", "text", toys.FINE, toys.PERMANENT)
    (gave_up,) = [line for line in lines if "gave up" in line]
    assert f"region={REGION}" in gave_up
    assert f"task=labels:{toys.PERMANENT}" in gave_up
    assert [line for line in lines if "succeeded" in line and f"region={REGION}" in line]
    assert not [line for line in lines if line.startswith("{")]


# traces


def traced(collector):
    return {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }


def test_every_attempt_of_a_task_is_a_span_of_its_run_also_when_the_reconciler_has_sent_it(world):
    blocks = (toys.FINE, toys.TRANSIENT)
    world.add(*blocks)
    trace, first = derive_ids(world.run)
    with collecting() as traces:
        with world.working(**traced(traces.url)):
            for block in blocks:
                send(world.message(block))
            world.wait_until_over(*blocks)
            wait_until(lambda: len(traces.of(trace)) == 6)
        spans = traces.of(trace)
    assert {span.name for span in spans} == {TASK}
    assert {span.parent for span in spans} == {first}
    assert {span.service for span in spans} == {"tests.contract.toy_worker"}
    assert len({span.id for span in spans}) == 6
    assert Counter(span.facts["task"] for span in spans) == {"labels:0": 1, f"labels:{toys.TRANSIENT}": 5}
    assert {span.facts["region"] for span in spans} == {REGION}
    assert [span.failed for span in spans if span.facts["task"] == "labels:0"] == [False]
    assert sum(span.failed for span in spans) == 5
    assert all(span.begin_ns < span.end_ns for span in spans)


def test_a_message_that_names_its_sender_is_below_it_and_one_that_lies_is_not(world):
    trace, first = derive_ids(world.run)
    blocks = (20, 21, 22, 23)
    world.add(*blocks)
    headers = [
        {"traceparent": f"00-{trace:032x}-00000000000000ab-01"},
        {"traceparent": f"00-{trace + 1:032x}-00000000000000ab-01"},
        {"traceparent": "'; drop table"},
        {"traceparent": 17},
    ]
    with collecting() as traces:
        with world.working(**traced(traces.url)):
            for block, header in zip(blocks, headers, strict=True):
                message = {"message": world.message(block).model_dump(mode="json")}
                world.app.send_task(TASK, kwargs=message, queue="labels", headers=header)
            world.wait_until_over(*blocks)
            wait_until(lambda: len(traces.of(trace)) == 4)
        parents = {span.facts["task"]: span.parent for span in traces.of(trace)}
        assert len(traces.spans) == 4
    assert parents == {"labels:20": 0xAB, "labels:21": first, "labels:22": first, "labels:23": first}


def test_a_collector_that_is_away_costs_no_task(world, port):
    blocks = (toys.FINE, 20, 21)
    world.add(*blocks)
    with world.working(**traced(f"http://127.0.0.1:{port}")):
        for block in blocks:
            send(world.message(block))
        world.wait_until_over(*blocks)
    assert world.ledger.dead_letters(REGION) == {}


def test_as_long_as_nobody_asks_for_traces_none_are_made_and_nothing_of_it_is_loaded(world):
    world.add(toys.FINE)
    with collecting() as traces:
        with world.working(OTEL_EXPORTER_OTLP_ENDPOINT=traces.url) as worker:
            send(world.message(toys.FINE))
            world.wait_until_over(toys.FINE)
            loaded = [Path(f"/proc/{number}/maps").read_text() for number in children(worker.pid)]
        assert traces.spans == []
    assert len(loaded) == 2
    assert not [maps for maps in loaded if "_upb" in maps]
