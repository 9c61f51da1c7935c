"""Writes the file that a scheduler reads, next to the compiled pipeline."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from pipeline import addresses
from pipeline.compile.topology import Topology

AIRFLOW_DAG = Path(__file__).with_name("airflow_dag.py")

#: What the DAG imports of this project: Airflow's environment has nothing of it.
_BESIDE_THE_DAG = Path(addresses.__file__)


def write_target(target: str, topology: Topology, folder: Path, **cluster: str) -> Path:
    """Writes the scheduler's own file, and returns its path.

    Args:
      target: `local`, a shell script that runs the nodes one after another; `airflow`, a DAG file; or `kubeflow`, a
        pipeline specification.
      topology: The return value of `write_compiled`.
      folder: The compiled pipeline's folder.
      **cluster: For Kubeflow, the attributes of `pipeline.compile.kubeflow.Cluster`.
    """
    if target == "airflow":
        file = folder / f"{topology.name}_dag.py"
        shutil.copyfile(AIRFLOW_DAG, file)
        shutil.copyfile(_BESIDE_THE_DAG, folder / _BESIDE_THE_DAG.name)
        return file
    if target == "kubeflow":
        from pipeline.compile.kubeflow import Cluster, write_kubeflow  # imported here, as it imports Kubeflow's client

        file = folder / f"{topology.name}.yaml"
        write_kubeflow(topology, Cluster(**cluster), file)
        return file
    file = folder / "run.sh"
    file.write_text(_script(topology), encoding="utf-8")
    file.chmod(0o755)
    return file


def _script(topology: Topology) -> str:
    tasks = " ".join(shlex.quote(" ".join(f"--node {node}" for node in task)) for task in topology.tasks)
    command = shlex.join([sys.executable, "-m", "pipeline.cli", "run-node"])
    return f"""#!/bin/sh
# Runs the pipeline {topology.name} node by node: WDR_DATA=… WDR_WORKSPACE=… WDR_SPAN=… WDR_RUN_ID=… run.sh
set -e
for nodes in {tasks}; do
  {command} --compiled "$(dirname "$0")" $nodes
done
"""
