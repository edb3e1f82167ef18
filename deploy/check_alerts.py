"""Checks of the alert rules and of what is made from the same metrics: metrics that exist, annotations, a runbook and tests
for each alert, the object for the Prometheus Operator, the dashboard. Writes two files for promtool: the tests of the
rules, and the dashboard's queries as rules. Prints what is wrong; exit code 1 if anything is."""

import argparse
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy/prometheus/rules.yml"
TESTS = ROOT / "deploy/prometheus/rules_test.yml"
RUNBOOKS = ROOT / "docs/runbooks"
MONITORING = ROOT / "deploy/k8s/monitoring"
DASHBOARD = ROOT / "deploy/grafana/ssl-manager.json"
ROLES = {"api", "issuer", "challenge-responder", "scheduler", "c4-uploader", "console", "notifier"}
METRIC = re.compile(r"\bssl_manager_\w+")
TABLE = ROOT / "libs/runtime/src/metric_table/table.rs"
COUNTED = re.compile(r"metrics::(?:counter|gauge|histogram)!\(\s*\"(\w+)\"")
problems = []


def problem(where, what):
    problems.append(f"{where}: {what}")


def read_alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def dashboard_queries():
    """Each query of the dashboard with the title of its panel."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel["targets"]]


def dashboard_rules():
    """The dashboard's queries as rules, so that promtool reads them."""
    rules = [{"record": f"query:{number}", "expr": query} for number, (_, query) in enumerate(dashboard_queries())]
    return {"groups": [{"name": "dashboard", "rules": rules}]}


def prometheus_rule():
    """The rules as an object for the Prometheus Operator."""
    head = "# Made from deploy/prometheus/rules.yml by `python3 deploy/check_alerts.py --write`.\n"
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "ssl-manager"},
        "spec": {"groups": groups},
    }
    return head + yaml.safe_dump(rule, sort_keys=False, width=1000)


def check_operator_objects():
    if yaml.safe_load((MONITORING / "prometheus-rule.yaml").read_text()) != yaml.safe_load(prometheus_rule()):
        problem("prometheus-rule.yaml", "is not rules.yml any more: python3 deploy/check_alerts.py --write")
    monitor = yaml.safe_load((MONITORING / "pod-monitor.yaml").read_text())["spec"]
    if set(monitor["selector"]["matchExpressions"][0]["values"]) != ROLES:
        problem("pod-monitor.yaml", "does not select the pods of every role")
    for role in sorted(ROLES):
        objects = yaml.safe_load_all((ROOT / f"deploy/k8s/base/{role}.yaml").read_text())
        pods = [each["spec"]["template"] for each in objects if each and each["kind"] == "Deployment"]
        ports = {port["name"] for pod in pods for container in pod["spec"]["containers"] for port in container["ports"]}
        labels = {pod["metadata"]["labels"].get("app.kubernetes.io/component") for pod in pods}
        if labels != {role} or monitor["podMetricsEndpoints"][0]["port"] not in ports:
            problem("pod-monitor.yaml", f"does not fit the pods of {role}")


def check_metrics(alerts):
    """The metrics of the code, of the table that registers them, and of the alerts are the same."""
    sources = [file for folder in ("libs", "services") for file in sorted((ROOT / folder).rglob("*.rs"))]
    counted = {metric for file in sources if file != TABLE for metric in COUNTED.findall(file.read_text())}
    registered = set(re.findall(r'"(ssl_manager_\w+)"', TABLE.read_text()))
    for metric in sorted(counted - registered):
        problem(TABLE.name, f"{metric} is counted and not registered at zero")
    for metric in sorted(registered - counted):
        problem(TABLE.name, f"no code counts {metric}")
    asked = [(f"rules.yml: {name}", rule["expr"]) for name, rule in alerts.items()]
    asked += [(f"{DASHBOARD.name}: {title}", query) for title, query in dashboard_queries()]
    for where, query in asked:
        for metric in sorted(set(METRIC.findall(query)) - registered):
            problem(where, f"no role exports {metric}")


def check_annotations(alerts):
    for name, rule in alerts.items():
        annotations = rule.get("annotations", {})
        if not {"summary", "description"} <= set(annotations):
            problem(f"rules.yml: {name}", "has no summary or no description")
        if annotations.get("runbook") != f"docs/runbooks/{name}.md":
            problem(f"rules.yml: {name}", f"its annotation runbook is not docs/runbooks/{name}.md")
        if rule.get("labels", {}).get("severity") not in {"critical", "warning"}:
            problem(f"rules.yml: {name}", "its severity is neither critical nor warning")


def check_runbooks(alerts):
    there = {file.stem for file in RUNBOOKS.glob("*.md")} - {"README"}
    for name in sorted(set(alerts) - there):
        problem(f"rules.yml: {name}", f"docs/runbooks/{name}.md is missing")
    for name in sorted(there - set(alerts)):
        problem(f"docs/runbooks/{name}.md", "rules.yml has no alert of that name")
    for name in sorted(there & set(alerts)):
        text = (RUNBOOKS / f"{name}.md").read_text()
        if not text.startswith(f"# {name}\n"):
            problem(f"docs/runbooks/{name}.md", f"does not begin with the title {name}")
        for heading in ("What it means", "What visitors see", "What to look at", "What to do"):
            if f"\n## {heading}\n" not in text:
                problem(f"docs/runbooks/{name}.md", f"has no section {heading!r}")


def expected(rule, labels):
    """The alert as promtool expects it: all labels and the filled in annotations."""
    def fill(text):
        return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels.get(found.group(1), ""), text)

    annotations = {key: fill(text) for key, text in rule["annotations"].items()}
    return {"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": annotations}


def promtool_test(name, rule, case, fires):
    labels = case.get("labels", [{}]) if fires else []
    return {
        "name": f"{name} {'fires' if fires else 'is silent'}: {case['why']}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case["series"].items()],
        "alert_rule_test": [
            {"eval_time": case["at"], "alertname": name, "exp_alerts": [expected(rule, each) for each in labels]}
        ],
    }


def make_tests(alerts):
    cases = yaml.safe_load(TESTS.read_text())
    for name in sorted(set(cases) - set(alerts)):
        problem(f"rules_test.yml: {name}", "rules.yml has no alert of that name")
    tests = []
    for name, rule in alerts.items():
        for kind in ("fires", "silent"):
            found = cases.get(name, {}).get(kind, [])
            if not found:
                problem(f"rules_test.yml: {name}", f"has no test in which it {'fires' if kind == 'fires' else 'is silent'}")
            tests += [promtool_test(name, rule, case, kind == "fires") for case in found]
        early = [case for case in cases.get(name, {}).get("fires", []) if "not_yet" in case]
        if "for" in rule and not early:
            problem(f"rules_test.yml: {name}", "has no test in which it waits (not_yet)")
        tests += [promtool_test(name, rule, {**case, "at": case["not_yet"]}, False) for case in early]
    return {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--write", action="store_true", help="write the PrometheusRule anew, and check nothing")
    arguments.add_argument("--folder", type=pathlib.Path, default=ROOT / "target", help="where files for promtool go")
    arguments = arguments.parse_args()
    if arguments.write:
        (MONITORING / "prometheus-rule.yaml").write_text(prometheus_rule())
        return
    alerts = read_alerts()
    check_metrics(alerts)
    check_annotations(alerts)
    check_runbooks(alerts)
    check_operator_objects()
    tests = make_tests(alerts)
    (arguments.folder / "rules_test.yml").write_text(yaml.safe_dump(tests, sort_keys=False))
    (arguments.folder / "dashboard.yml").write_text(yaml.safe_dump(dashboard_rules(), sort_keys=False))
    for line in problems:
        print(f"deploy: FAILED: {line}")
    if not problems:
        print(f"deploy: {len(alerts)} alerts have metrics, runbooks and {len(tests['tests'])} tests")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
