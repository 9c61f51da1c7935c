"""The sections on lineage, and on the time of each component."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.page import charts, numbers
from pipeline.report.page.parts import Block, Facts, Figure, Note, Table
from pipeline.report.result.run import Run


def times(run: Run) -> Iterator[Block]:
    """Yields the blocks of the section on times."""
    if not run.nodes:
        yield Note("ML Metadata has no execution of this run.", "quiet")
        return
    first = min(node.started for node in run.nodes)
    rows = [(node.name, node.state, f"{node.started:%H:%M:%S}", f"{node.seconds:,.1f}") for node in run.nodes]
    data = Table.bounded(
        "Components in the order in which they started", ("component", "state", "#start, UTC", "#seconds"), rows
    )
    values = []
    for node in run.nodes:
        start = (node.started - first).total_seconds()
        values.append({"y": node.name, "a": start, "b": start + node.seconds, "s": node.state})
    slowest = max(run.nodes, key=lambda node: node.seconds)
    words = (
        f"When each component ran. The run took {numbers.seconds(run.seconds)}; the slowest component is "
        f"{slowest.name}, {numbers.seconds(slowest.seconds)}."
    )
    yield Figure("Times", words, charts.timeline(values), data, is_wide=True)


def blocks(run: Run) -> Iterator[Block]:
    """Yields the blocks of the section on lineage."""
    report = run.report
    yield Note("The run's folders, log files, fingerprints and artifacts.", "quiet")
    started = min((node.started for node in run.nodes), default=None)
    yield Facts([
        ("run", run.run_id),
        ("pipeline", run.pipeline_name),
        ("started", f"{started:%Y-%m-%d %H:%M:%S} UTC" if started else "unknown"),
        ("span", str(report.span)),
        ("trained on spans", ", ".join(map(str, report.spans)) or run.absent("none")),
        ("warm start from", (report.training and report.training.warm_started_from) or run.absent("nothing")),
        *((f"{what}", where) for what, where in report.places.items()),
    ])  # fmt: skip
    yield _files(run)
    if report.version is not None and report.version in run.manifests:
        manifest = run.manifests[report.version]
        yield Facts([
            ("version", str(report.version)),
            ("config fingerprint", manifest.config_fingerprint or "unknown"),
            ("code fingerprint", manifest.code_fingerprint or "unknown"),
        ])  # fmt: skip
    made = [(node.name, output.kind, output.uri) for node in run.nodes for output in node.outputs]
    if made:
        yield Table.bounded("Artifacts", ("component", "type", "folder"), made)


def _files(run: Run) -> Block:
    evidence = run.contents.evidence.get()
    if evidence is None:
        return Note("The log files were not recorded: the run did not come to the gate on data.", "quiet")
    rows = [
        (file.source, file.path, numbers.count(file.num_rows), file.sha256[:12]) for file in evidence.ingested.files
    ]
    return Table.bounded("Log files of the span", ("source", "file", "#rows", "SHA-256, first digits"), rows)
