"""Uploads a compiled pipeline to Kubeflow Pipelines and, with `--cron`, schedules it.

    .venv/bin/python deploy/kubeflow/upload.py FILE --host http://localhost:8888 [--cron "0 0 4 * * *"]

A further upload under the same name adds a version to the pipeline; with `--cron`, it replaces the recurring run of
that name. Credentials come from where Kubeflow's own client takes them.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

import kfp


def find_pipeline_id(client: kfp.Client, name: str, namespace: str | None) -> str | None:
    """Returns the id of the pipeline of this name; None if there is none.

    kfp 2.16.1's `get_pipeline_id` has no namespace, and does not find the pipelines of one.
    """
    predicates = [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]
    found = client.list_pipelines(filter=json.dumps({"predicates": predicates}), namespace=namespace).pipelines
    return found[0].pipeline_id if found else None


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="By `wdr compile --target kubeflow`.")
    parser.add_argument("--host", required=True, help="Kubeflow Pipelines' address.")
    parser.add_argument("--namespace", help="Where Kubeflow has several users.")
    parser.add_argument("--cron", help="Six fields, seconds first, UTC; a run is for the day before.")
    parser.add_argument(
        "--no-catchup", action="store_true", help="Leave out the runs that were due while the schedule was paused."
    )
    options = parser.parse_args()
    name = options.file.stem
    client = kfp.Client(host=options.host, namespace=options.namespace or "kubeflow")
    version = f"{name}-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}"
    pipeline_id = find_pipeline_id(client, name, options.namespace)
    if pipeline_id is None:
        pipeline_id = client.upload_pipeline(str(options.file), name, namespace=options.namespace).pipeline_id
        # The upload of a new pipeline creates its first version, which has the pipeline's name.
        (uploaded,) = client.list_pipeline_versions(pipeline_id, page_size=2).pipeline_versions
    else:
        uploaded = client.upload_pipeline_version(str(options.file), version, pipeline_id=pipeline_id)
    print(f"version {uploaded.display_name} of {name}")
    if options.cron:
        experiment = client.create_experiment(name, namespace=options.namespace)
        before = client.list_recurring_runs(experiment_id=experiment.experiment_id, page_size=100).recurring_runs or []
        run = client.create_recurring_run(
            experiment_id=experiment.experiment_id,
            job_name=name,
            cron_expression=options.cron,
            max_concurrency=1,
            no_catchup=options.no_catchup,
            pipeline_id=pipeline_id,
            version_id=uploaded.pipeline_version_id,
        )
        for old in before:
            if old.display_name == name:
                client.delete_recurring_run(old.recurring_run_id)
        print(f"recurring run {run.recurring_run_id}: {options.cron}")


if __name__ == "__main__":
    main()
