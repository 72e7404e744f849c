"""Alerts and dashboard ask for what the services really tell, in a language that Prometheus understands."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import promql_parser
import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from services.stack.parts import WORKERS
from services.stack.ports import free_ports
from tests.environment import ROOT
from tests.processes import listening
from tests.waiting import LONG_S

pytestmark = pytest.mark.stack

FOLDER = ROOT / "k8s" / "components" / "monitoring"
RULES = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["spec"]["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {f"alert {rule['alert']}": rule["expr"] for rule in RULES} | {
    f"panel {panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "5m")
    for panel in PANELS
    for target in panel["targets"]
}
PATTERNS = {"MatchOp.Re", "MatchOp.NotRe"}
Exported = dict[str, dict[str, set[str]]]
"""By name of a series, the values that each label has."""


@pytest.fixture(scope="module")
def exported(redis_url: str) -> Exported:
    """What every service tells, each a process of its own."""
    commands = {
        name: ["-m", "celery", "-A", f"services.{name}", "worker", "--queues", queue, "--concurrency", "1",
               "--hostname", f"{queue}@monitored", "--without-gossip", "--without-mingle"]
        for name, queue in WORKERS.items()
    }  # fmt: skip
    commands["reconciler"] = ["-m", "services.reconciler"]
    found: Exported = {}
    with ExitStack() as stack:
        ports = free_ports(len(commands) + 1)
        commands["metrics"] = ["-m", "services.metrics", "--port", str(ports[-1])]
        for port, words in zip(ports, commands.values(), strict=True):
            settings = {"LANDPATCH_REDIS_URL": redis_url, "LANDPATCH_METRICS_LISTEN": f"127.0.0.1:{port}"}
            stack.enter_context(listening([sys.executable, *words], port, **settings))
        for port in ports:
            page = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=LONG_S)
            for family in text_string_to_metric_families(page.text):
                for sample in family.samples:
                    labels = found.setdefault(sample.name, {})
                    for label, value in sample.labels.items():
                        labels.setdefault(label, set()).add(value)
    return found


def selectors(expression: str) -> Iterator[promql_parser.VectorSelector]:
    """Whatever an expression asks for; raises ValueError for one that is none."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression), visit)
    yield from found


def check(expression: str, exported: Exported) -> list[str]:
    """Faults of an expression: series, labels and values that nobody tells."""
    faults = []
    for selector in selectors(expression):
        if selector.name not in exported:
            faults.append(f"no {selector.name}")
            continue
        labels = exported[selector.name]
        for matcher in selector.matchers.matchers:
            values = labels.get(matcher.name, set())
            # Also what is left out has to be there.
            patterns = matcher.value.split("|") if str(matcher.op) in PATTERNS else [re.escape(matcher.value)]
            faults += [
                f"{selector.name}: no {matcher.name} such as {pattern}"
                for pattern in patterns
                if not any(re.fullmatch(pattern, value) for value in values)
            ]
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        asked = {label.strip() for text in grouped for label in text.split(",")}
        faults += [f"{selector.name}: no label {label}" for label in asked - labels.keys()]
    return faults


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_asks_for_what_is_told(name, exported):
    assert list(selectors(EXPRESSIONS[name])) != []
    assert check(EXPRESSIONS[name], exported) == []


@pytest.mark.parametrize(
    "broken",
    [
        "sum(rate(landpatch_tasks[5m]))",
        'landpatch_tasks_total{end="lost"}',
        'landpatch_tasks_total{ending="done"}',
        'sum(landpatch_regions{state=~"waiting|sleeping"})',
        "sum by (queue) (landpatch_tasks_total)",
        "histogram_quantile(0.9, sum by (le) (rate(landpatch_stage_seconds_sum[5m])))",
    ],
)
def test_what_nobody_tells_is_found(broken, exported):
    assert check(broken, exported) != []


@pytest.mark.parametrize("broken", ["sum(landpatch_tasks_total", "rate(landpatch_tasks_total)", "a b", ""])
def test_what_is_no_expression_is_found(broken):
    with pytest.raises(ValueError):  # it says where
        list(selectors(broken))


def test_every_metric_is_on_the_page_on_operations_and_no_other(exported):
    page = (ROOT / "docs" / "operations.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(landpatch_\w+)", page))
    told = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    assert told == named


def test_every_alert_is_on_the_page_on_operations_and_no_other():
    page = (ROOT / "docs" / "operations.md").read_text().partition("## Alerts")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(Landpatch\w+)` \|", page, re.MULTILINE)
    assert rows == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_what_it_sees(rule):
    assert rule["labels"]["severity"] in {"warning", "critical"}
    summary = rule["annotations"]["summary"]
    assert summary.endswith(".")
    named = set(re.findall(r"\$labels\.(\w+)", summary))
    assert named <= set(re.findall(r"by \(([^)]*)\)", rule["expr"])) | {"queue"}


def test_the_rules_for_compose_are_those_of_the_cluster(tmp_path):
    from tests.unit.deploy.test_compose import Checkout

    checkout = Checkout(tmp_path)
    checkout.run("up")
    plain = yaml.safe_load((tmp_path / ".state" / "compose" / "alerts.yaml").read_text())
    assert plain == yaml.safe_load((FOLDER / "alerts.yaml").read_text())["spec"]


def test_prometheus_beside_compose_asks_every_service_that_counts():
    settings = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    counting = {name for name in services if name.replace("-", "_") in WORKERS} | {"reconciler", "metrics"}
    assert set(found["names"]) == counting
    assert found["port"] == 9464
    mounted = {each["target"] for each in services["prometheus"]["configs"]}
    assert set(settings["rule_files"]) <= mounted


def test_grafana_beside_compose_finds_the_dashboard_and_its_figures():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounted = {each["target"] for each in services["grafana"]["configs"]}
    (provider,) = yaml.safe_load((ROOT / "monitoring" / "dashboards.yaml").read_text())["providers"]
    assert any(target.startswith(provider["options"]["path"]) for target in mounted)
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted
    (source,) = yaml.safe_load((ROOT / "monitoring" / "datasources.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]


def test_the_panels_of_the_dashboard_do_not_overlap_and_take_their_source_from_the_choice():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    (choice,) = DASHBOARD["templating"]["list"]
    assert choice["type"] == "datasource"
    assert {panel["datasource"]["uid"] for panel in PANELS} == {f"${{{choice['name']}}}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
