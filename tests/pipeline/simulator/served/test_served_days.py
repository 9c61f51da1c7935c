"""Days that a rank service serves: the ground truth, the log, and the state between days."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.simulator.served import ServedDay, simulate_served
from serving.serving_log.record import candidates
from tests.serving.ranking_client.running import model_server, ranking_service
from tests.serving.ranking_client.tiny_model import export_tiny
from tests.serving.serving_log.logs import records, settings
from transform.errors import UserError

SIZES: dict[str, Any] = {"impressions_per_day": 600, "num_users": 300, "num_apps": 200, "seed": 4}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "tiny").mkdir()
    export_tiny(folder / "tiny", rank=True)
    with model_server(folder, tmp_path_factory.mktemp("server") / "log") as (address, _):
        yield address


class Served(NamedTuple):
    """Two days that were served: the folder, what the days came to, and the folder of the service's log."""

    out: Path
    days: dict[int, ServedDay]
    log: Path


def serve(server: str, folder: Path, calls: list[dict[str, Any]]) -> Served:
    """Simulates by calls of `simulate_served`, with a service of their own that explores, and one to compare."""
    log = settings(folder / "log")
    options = ["--log-dir", log.folder, "--log-key", log.key_file, "--deadline-seconds", "30"]
    days: dict[int, ServedDay] = {}
    with (
        ranking_service(server, "tiny", folder / "compared", "--deadline-seconds", "30") as compared,
        ranking_service(server, "tiny", folder / "service", *options) as url,
    ):
        for call in calls:
            simulate_served(folder / "out", url, compare_url=compared, on_day=days.__setitem__, **SIZES, **call)
    return Served(folder / "out", days, folder / "log")


@pytest.fixture(scope="module")
def served(server: str, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve(server, tmp_path_factory.mktemp("served"), [{"num_days": 2, "truth": "examination"}])


def truth(served: Served, name: str, day: int) -> pd.DataFrame:
    return pq.read_table(served.out / "truth" / name / f"day-{day}.parquet").to_pandas()


@pytest.mark.slow  # starts a model server and services
def test_the_truth_has_each_candidate_and_the_log_each_request(served: Served) -> None:
    logged = {record.request_id: record for record in records(served.log)}
    assert len(logged) == 120
    for day in (1, 2):
        rows, requests = truth(served, "candidates", day), truth(served, "requests", day)
        assert requests.request.tolist() == list(range(60))
        assert len(rows) == 60 * 50
        for request, of_request in rows.groupby("request"):
            record = logged[requests.request_id[request]]
            assert record.user_key == requests.user_id[request]
            assert record.version == requests.version[request] == 1
            by_place = of_request[of_request.place > 0].sort_values("place")
            assert by_place.place.tolist() == list(range(1, 11))
            ids = [one.item_id for one in candidates(record)]
            assert ids[: record.num_returned] == by_place.app_id.tolist()
            assert sorted(ids) == sorted(of_request.app_id)


@pytest.mark.slow  # starts a model server and services
def test_installs_are_of_the_shown_and_judged_by_the_true_probability(served: Served) -> None:
    for day in (1, 2):
        rows, requests = truth(served, "candidates", day), truth(served, "requests", day)
        shown = rows[rows.place > 0]
        assert shown.examination.to_numpy() == pytest.approx(shown.place.to_numpy(float) ** -0.7, rel=1e-5)
        assert shown.probability.to_numpy() == pytest.approx((shown.examination * shown.relevance).to_numpy(), rel=1e-5)
        assert rows[rows.place == 0][["examination", "probability"]].isna().all(axis=None)
        assert not rows[rows.place == 0].is_installed.any()
        expected = shown.groupby("request").probability.sum().to_numpy()
        assert requests.installs_order_shown.to_numpy() == pytest.approx(expected, rel=1e-5)
        assert served.days[day].installs == pytest.approx(expected, rel=1e-5)
        best = [
            sum(p * place**-0.7 for place, p in enumerate(sorted(of.relevance, reverse=True)[:10], 1))
            for _, of in rows.groupby("request")
        ]
        assert requests.installs_order_of_relevance.to_numpy() == pytest.approx(best, rel=1e-5)
        number, chances = int(shown.is_installed.sum()), shown.probability.to_numpy(float)
        assert served.days[day].num_installs == number
        assert abs(number - chances.sum()) < 4 * np.sqrt((chances * (1 - chances)).sum())
        # The tiny model has none of the store's apps in its catalog, and orders all alike: both services agree.
        assert (requests.installs_order_compared == requests.installs_order_shown).all()


@pytest.mark.slow  # starts a model server and services
def test_a_day_continues_what_earlier_calls_have_written(server: str, served: Served, tmp_path: Path) -> None:
    """The second day of one call is that of a call of its own, up to the requests' ids."""
    calls: list[dict[str, Any]] = [{"num_days": 1, "truth": "examination"}]
    again = serve(server, tmp_path, [*calls, {**calls[0], "first_day": 2}])
    for day in (1, 2):
        assert truth(again, "candidates", day).equals(truth(served, "candidates", day))
        some = [truth(one, "requests", day).drop(columns="request_id") for one in (again, served)]
        assert some[0].equals(some[1])
        catalog = f"catalog/day-{day}/part-00000.csv"
        assert (again.out / catalog).read_bytes() == (served.out / catalog).read_bytes()
        assert (again.out / f"catalog/day-{day}/_SUCCESS").read_bytes() == b""


@pytest.mark.slow  # starts a model server and services
def test_a_service_without_a_log_is_refused(server: str, tmp_path: Path) -> None:
    with (
        ranking_service(server, "tiny", tmp_path / "out", "--deadline-seconds", "30") as url,
        pytest.raises(UserError, match="the rank service must have a log"),
    ):
        simulate_served(tmp_path / "store", url, num_days=1, truth="additive", **SIZES)
    assert not list((tmp_path / "store").rglob("day-*"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"impressions_per_day": 605}, "`impressions_per_day` must be a multiple of 10 with a rank service."),
        ({"num_apps": 100}, "`num_apps` must be at least 200 with a rank service. Received: 100."),
        ({"truth": "none"}, "`truth` must be one of additive, examination. Received: none."),
    ],
)
def test_sizes_that_are_not_allowed(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    options = {"num_days": 1, "truth": "additive", **SIZES, **given}
    with pytest.raises(ValueError, match=message.partition(".")[0]):
        simulate_served(tmp_path, "http://127.0.0.1:1", **options)


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the rank service must answer. Received: .* \(http://127.0.0.1:1/rank\)"):
        simulate_served(tmp_path, "http://127.0.0.1:1", num_days=1, truth="additive", **SIZES)
