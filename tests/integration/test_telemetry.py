"""What a region tells while it is built, by a stack of its own: metrics, JSON lines, a trace."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from landpatch.ledger import open_ledger
from landpatch.settings import Settings
from landpatch.telemetry import derive_ids
from tests.collector import Told, collecting
from tests.integration.conftest import Stack, stack_running
from tests.sandbox_products import take_products
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack

REGION = "FR101/2021"
WORKERS = ("dispatcher", "image_worker", "label_worker", "indexer", "reconciler")


@dataclass(frozen=True)
class Watched:
    """A region that has been built while it was watched."""

    result: dict
    metrics: dict[tuple[str, ...], float]
    """By service, name and labels."""
    lines: dict[str, list[str]]
    """Of the log of each worker."""
    spans: list[Told]
    run: str


def scrape(stack: Stack) -> dict[tuple[str, ...], float]:
    found = {}
    for service in (*WORKERS, "metrics"):
        page = requests.get(f"http://127.0.0.1:{stack.access[f'{service}_port']}/metrics", timeout=LONG_S)
        assert page.ok, service
        for family in text_string_to_metric_families(page.text):
            for sample in family.samples:
                found[service, sample.name, *sample.labels.values()] = sample.value
    return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    state = tmp_path_factory.mktemp("watched")
    take_products("FR101", state / "sandbox")
    with collecting() as traces:
        given = {
            "LANDPATCH_LOG": "json",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
        }
        with stack_running(state, **given) as stack:
            ran = stack.landpatch("region", "FR101", "--json", **given)
            assert ran.returncode == 0, ran.stderr
            metrics = scrape(stack)
            run = open_ledger(Settings.model_validate(stack.settings())).facts(REGION)["run"]
        # What is left to tell is told when the workers end.
        lines = {name: (state / "logs" / f"{name}.log").read_text().splitlines() for name in WORKERS}
        result = json.loads(ran.stdout.splitlines()[-1])
        yield Watched(result, metrics, lines, list(traces.spans), run)


# metrics


def test_what_is_counted_is_what_the_region_says_of_itself(watched):
    found, result = watched.metrics, watched.result
    assert found["image_worker", "landpatch_patches_total", "images", "complete"] == result["complete"]
    assert found["image_worker", "landpatch_patches_total", "images", "partial"] == result["partial"]
    assert found["label_worker", "landpatch_patches_total", "labels", "complete"] == result["labels"]
    assert found["image_worker", "landpatch_eodata_bytes_total"] == result["bytes_downloaded"]
    assert found["metrics", "landpatch_regions", "done"] == 1
    assert found["metrics", "landpatch_dead_letters"] == 0
    assert sum(value for key, value in found.items() if key[1] == "landpatch_pending_tasks") == 0


def test_every_stage_has_taken_its_time_once_for_each_thing(watched):
    def count(service, stage):
        return watched.metrics[service, "landpatch_stage_seconds_count", stage]

    requests_ = watched.metrics["image_worker", "landpatch_eodata_requests_total"]
    assert count("image_worker", "quota") == count("image_worker", "download") == requests_
    assert count("image_worker", "decode") > 13
    # A patch that needs several products is warped for each, and what is kept between rounds is encoded too.
    assert count("image_worker", "warp") >= watched.result["patches"]
    assert count("image_worker", "encode") >= watched.result["images"]
    assert count("image_worker", "upload") == count("image_worker", "encode")
    assert count("label_worker", "upload") == watched.result["labels"] + 1  # and the note of them
    assert count("label_worker", "labels") >= 1
    assert count("indexer", "upload") == 3
    sums = {
        key[2]: value for key, value in watched.metrics.items() if key[1] == "landpatch_stage_seconds_sum"
    }
    assert all(0 <= value < 600 for value in sums.values())


def test_every_task_has_ended_well(watched):
    ends = Counter()
    for (_, name, *labels), value in watched.metrics.items():
        if name == "landpatch_tasks_total" and labels[0] != "dropped":
            ends[labels[0]] += value
    assert ends.total() == ends["done"] > 4


# log lines


def test_every_line_is_json_and_says_of_which_region_product_and_task_it_is(watched):
    for service, lines in watched.lines.items():
        kept = [line for line in lines if line and not line.startswith("worker: ")]
        events = [json.loads(line) for line in kept]
        assert all({"event", "level", "timestamp"} <= event.keys() for event in events), service
        if service == "reconciler":
            continue
        done = [each for each in events if "succeeded" in each["event"]]
        assert done, service
        for event in done:
            assert event["region"] == REGION
            assert event["task_id"] in event["event"]
            assert event["trace_id"] == f"{derive_ids(watched.run)[0]:032x}"
            of_a_product = event["task"].startswith("images:") and "settle" not in event["task"]
            assert ("product" in event) == of_a_product, event


# the trace


def below(spans: list[Told], span: Told) -> list[Told]:
    return [each for each in spans if each.parent == span.id]


def test_a_region_is_one_trace_that_begins_with_its_plan_and_hangs_together(watched):
    trace, first = derive_ids(watched.run)
    spans = [span for span in watched.spans if span.trace == trace]
    assert len(spans) == len(watched.spans)
    ids = {span.id for span in spans}
    assert len(ids) == len(spans)
    (root,) = [span for span in spans if span.parent not in ids]
    assert (root.name, root.id, root.parent) == ("dispatch.plan_region", first, 0)
    assert {span.service for span in spans} == {f"services.{name}" for name in WORKERS[:4]}
    assert not [span for span in spans if span.failed]


def test_the_way_of_a_patch_is_seen_from_dispatch_to_index(watched):
    spans = watched.spans
    by_id = {span.id: span for span in spans}
    stages = {
        span.id: [each.name for each in sorted(below(spans, span), key=lambda each: each.begin_ns)]
        for span in spans
        if span.name == "patch"
    }
    patches = {span.facts["patch"] for span in spans if span.id in stages}
    assert len(patches) == watched.result["patches"]
    ways = [by_id[number] for number, names in stages.items() if names == ["warp", "encode", "upload"]]
    assert {way.facts["patch"] for way in ways} == patches
    cut = by_id[ways[0].parent]
    assert cut.name == "images.cut_scene"
    assert cut.facts["product"].startswith("S2")
    assert by_id[cut.parent].name in {"dispatch.plan_region", "dispatch.advance_region"}
    assert {"quota", "download", "decode"} <= {span.name for span in below(spans, cut)}
    (index,) = [span for span in spans if span.name == "index.write_index"]
    assert by_id[index.parent].name == "dispatch.advance_region"
    asked = by_id[by_id[index.parent].parent]
    assert asked.name in {"images.cut_scene", "images.settle_patches", "labels.fetch_labels"}
