"""The simulated store's days that no service serves: the same bytes as before there were served days."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.simulator import simulate

#: As computed by the code below with the simulator as it was before.
DIGEST = "252b25f2cd5c3bc74d7b177ec09b048c4a190a2d7591adfcf69a5d1a9fbec438"


def test_a_seed_gives_the_bytes_that_it_gave(tmp_path: Path) -> None:
    """The logs byte by byte; of the ground truth the values, since a Parquet file names the writer's version."""
    simulate(
        tmp_path,
        num_days=2,
        impressions_per_day=3000,
        num_users=300,
        num_apps=200,
        seed=5,
        first_day=2,
        with_label=True,
    )
    digest = hashlib.sha256()
    for path in sorted(tmp_path.rglob("*.csv")):
        digest.update(str(path.relative_to(tmp_path)).encode() + path.read_bytes())
    for path in sorted(tmp_path.rglob("*.parquet")):
        table = pq.read_table(path)
        for name in table.column_names:
            if name == "impression_id":
                digest.update("".join(table[name].to_pylist()).encode())
            else:
                digest.update(name.encode() + table[name].to_numpy().tobytes())
    assert digest.hexdigest() == DIGEST
