import csv
import hashlib
import io
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import pytest

from bayesuplift.data import datasets
from bayesuplift.data.datasets import hillstrom, hillstrom_cells, published_text
from bayesuplift.data.readers import read_cells
from bayesuplift.errors import ArgumentError, FactorNotFoundError, MissingFileError, UnreadableFileError
from tests.support.hillstrom_cell_table import BUNDLED, cell_text

ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
# As published, to the digits published.
PUBLISHED = {
    "visit": ((0.10617, 0.18276, 0.15140), 5e-6),
    "conversion": ((0.00573, 0.01253, 0.00884), 5e-6),
    "spend": ((0.6528, 1.4226, 1.0772), 5e-5),
}


def one_row() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "recency": [10],
            "history_segment": ["6) $750 - $1,000"],
            "history": [940.5],
            "mens": [1],
            "womens": [0],
            "zip_code": ["Surburban"],
            "newbie": [0],
            "channel": ["Phone"],
            "segment": ["Womens E-Mail"],
            "visit": [0],
            "conversion": [0],
            "spend": [0.0],
        }
    )


@pytest.mark.parametrize("outcome", ["visit", "conversion", "spend"])
def test_the_bundled_cells_give_the_published_figures(outcome: Any) -> None:
    cells = hillstrom_cells(outcome)
    expected, half_a_digit = PUBLISHED[outcome]
    assert cells.design.control == "No E-Mail"
    assert cells.design.arms == ARMS
    assert cells.n.tolist() == [21306, 21307, 21387]
    np.testing.assert_allclose(cells.raw_mean.to_numpy(), expected, rtol=0, atol=half_a_digit)


def test_the_bundled_cells_come_by_segment() -> None:
    cells = hillstrom_cells("spend", ["zip_area", "newbie"])
    assert cells.factors == ("zip_area", "newbie")
    assert set(cells.statistics.zip_area.to_numpy()) == {"Rural", "Surburban", "Urban"}
    assert cells.quantiles is None
    assert cells.by() == hillstrom_cells("spend")
    assert hillstrom_cells("visit", "channel").statistics.sizes == {"segment": 3, "arm": 3}


def test_unknown_outcomes_and_factors_are_told_with_the_closest() -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'visit'"):
        hillstrom_cells("visits")  # type: ignore[arg-type]
    with pytest.raises(FactorNotFoundError, match="Did you mean 'channel'"):
        hillstrom_cells("visit", ["chanel"])


@pytest.mark.real_data
def test_the_real_file_is_verified_through_its_published_form(real_data: Path) -> None:
    table = hillstrom(real_data / "hillstrom.parquet")
    assert table.shape == (64_000, 12)
    assert tuple(table.columns) == datasets.HILLSTROM_COLUMNS


@pytest.mark.real_data
def test_the_published_csv_round_trips(real_data: Path, tmp_path: Path) -> None:
    table = hillstrom(real_data / "hillstrom.parquet")
    content = published_text(table)
    path = tmp_path / "hillstrom.csv"
    path.write_bytes(content)
    pd.testing.assert_frame_equal(hillstrom(path), table, check_dtype=False)
    path.write_bytes(content.removesuffix(b"\r\n"))
    with pytest.raises(UnreadableFileError, match="Only the CR LF that ends the last row differs"):
        hillstrom(path)
    path.write_bytes(content.replace(b"\r\n", b"\n"))
    with pytest.raises(UnreadableFileError, match="Only the line ends differ"):
        hillstrom(path)


@pytest.mark.real_data
@pytest.mark.parametrize("outcome", ["visit", "conversion", "spend"])
def test_the_real_file_gives_the_published_figures_and_the_bundled_cells(real_data: Path, outcome: Any) -> None:
    cells = read_cells(
        real_data / "hillstrom.parquet",
        arm="segment",
        control="No E-Mail",
        outcome=outcome,
        kind="revenue" if outcome == "spend" else "binary",
        segments=["newbie", "channel"],
    )
    expected, half_a_digit = PUBLISHED[outcome]
    assert cells.by().n.tolist() == [21306, 21307, 21387]
    np.testing.assert_allclose(cells.by().raw_mean.to_numpy(), expected, rtol=0, atol=half_a_digit)
    assert cells == hillstrom_cells(outcome, ["newbie", "channel"])


@pytest.mark.real_data
def test_the_bundled_table_is_what_the_real_file_gives(real_data: Path) -> None:
    assert BUNDLED.read_text(encoding="utf-8") == cell_text(hillstrom(real_data / "hillstrom.parquet"))


@pytest.mark.real_data
def test_a_changed_value_is_noticed(real_data: Path, tmp_path: Path) -> None:
    table = hillstrom(real_data / "hillstrom.parquet")
    table.loc[5, "spend"] = 0.01
    table.to_parquet(tmp_path / "hillstrom.parquet")
    with pytest.raises(UnreadableFileError, match=datasets.HILLSTROM_SHA256):
        hillstrom(tmp_path / "hillstrom.parquet")


def test_the_published_form_quotes_and_prints_as_the_publisher() -> None:
    lines = published_text(one_row()).decode().split("\r\n")
    assert lines[0].startswith("recency,history_segment,history,mens")
    assert lines[1] == '10,"6) $750 - $1,000",940.5,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0'
    assert lines[2] == ""


def test_another_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    path = tmp_path / "hillstrom.csv"
    path.write_bytes(published_text(one_row()))
    with pytest.raises(UnreadableFileError, match=rf"SHA-256 is [0-9a-f]{{64}}, expected {datasets.HILLSTROM_SHA256}"):
        hillstrom(path)
    one_row().to_parquet(tmp_path / "hillstrom.parquet")
    with pytest.raises(UnreadableFileError, match=datasets.HILLSTROM_SHA256):
        hillstrom(tmp_path / "hillstrom.parquet")
    one_row().drop(columns="spend").to_parquet(tmp_path / "hillstrom.parquet")
    with pytest.raises(UnreadableFileError, match="lacks spend"):
        hillstrom(tmp_path / "hillstrom.parquet")
    (tmp_path / "hillstrom.parquet").write_bytes(b"no parquet")
    with pytest.raises(UnreadableFileError, match="not a readable Parquet file"):
        hillstrom(tmp_path / "hillstrom.parquet")


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no file at"):
        hillstrom(tmp_path / "none.csv")


def planted(monkeypatch: pytest.MonkeyPatch, cache: Path, reply: Any) -> None:
    monkeypatch.delenv(datasets.DATA_FOLDER, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _name: cache)
    monkeypatch.setattr("urllib.request.urlopen", reply)


def test_without_file_and_network_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    planted(monkeypatch, tmp_path, unreachable)
    with pytest.raises(MissingFileError, match=r"BAYESUPLIFT_DATA; hillstrom_cells\(\) needs no file"):
        hillstrom()
    assert list(tmp_path.iterdir()) == []


def test_what_is_fetched_is_verified_kept_and_not_fetched_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = published_text(one_row())
    calls = []

    def reply(address: str, timeout: float) -> io.BytesIO:
        calls.append((address, timeout))
        return io.BytesIO(content)

    planted(monkeypatch, tmp_path / "cache", reply)
    with pytest.raises(UnreadableFileError, match="not the published Hillstrom data"):
        hillstrom()
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(datasets, "HILLSTROM_SHA256", hashlib.sha256(content).hexdigest())
    assert len(hillstrom()) == 1
    assert len(hillstrom()) == 1
    assert [address for address, _ in calls] == [datasets.HILLSTROM_ADDRESS] * 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_data_folder_comes_before_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = published_text(one_row())
    (tmp_path / "hillstrom.csv").write_bytes(content)
    monkeypatch.setenv(datasets.DATA_FOLDER, str(tmp_path))
    monkeypatch.setattr(datasets, "HILLSTROM_SHA256", hashlib.sha256(content).hexdigest())
    assert hillstrom().history.tolist() == [940.5]


def test_the_bundled_table_has_plain_columns_and_every_customer() -> None:
    with BUNDLED.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert sum(int(row["n"]) for row in rows) == 64_000
    assert list(rows[0])[:9] == [
        "merchandise",
        "newbie",
        "channel",
        "zip_area",
        "arm",
        "n",
        "visits",
        "conversions",
        "spenders",
    ]
