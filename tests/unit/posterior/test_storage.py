"""Posteriors in files: written whole or not at all, and read back by name."""

import stat
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import bayesuplift as bu
from bayesuplift.errors import MissingFileError, PosteriorError, UnreadableFileError
from bayesuplift.estimands import places
from tests.support.over_units import noisy, over_units
from tests.support.worlds import binary_cells, foreign, normal_draws

FIRST = foreign(normal_draws([1.0, 2.0], 0.1, seed=1, draws=10), outcome="visit")
SECOND = foreign(normal_draws([3.0, 2.0], 0.1, seed=2, draws=10), outcome="spend")


def same(one: xr.DataTree, other: xr.DataTree) -> bool:
    return one.identical(other) and one.attrs == other.attrs


def test_one_posterior_comes_back(tmp_path: Path) -> None:
    bu.save(FIRST, tmp_path / "one.nc")
    assert same(bu.load(tmp_path / "one.nc"), FIRST)


def test_a_fit_by_segment_comes_back_with_factors_and_split(tmp_path: Path) -> None:
    cells = binary_cells([[100, 120], [80, 90]], [[10, 20], [9, 14]], intended_split={"a": 1, "b": 1})
    tree = bu.fit("beta_binomial", cells, seed=1, draws=10)
    bu.save(tree, tmp_path / "fit.nc")
    back = bu.load(tmp_path / "fit.nc")
    assert {
        group: back[group].to_dataset().identical(tree[group].to_dataset()) for group in tree.children
    } == dict.fromkeys(tree.children, True)
    assert "place" in back["posterior"].coords
    assert bu.choose_arm(back, threshold_of_caring=0.1).verdict == bu.choose_arm(tree, threshold_of_caring=0.1).verdict


def test_several_posteriors_come_back_by_name(tmp_path: Path) -> None:
    file = tmp_path / "both.nc"
    bu.save({"visit": FIRST, "spend/customer": SECOND}, file)
    assert same(bu.load(file, "visit"), FIRST)
    assert same(bu.load(file, "spend/customer"), SECOND)


def test_the_only_posterior_of_several_needs_no_name(tmp_path: Path) -> None:
    bu.save({"visit": FIRST}, tmp_path / "one.nc")
    assert same(bu.load(tmp_path / "one.nc"), FIRST)


def test_a_name_that_is_needed_unknown_or_too_much_is_refused(tmp_path: Path) -> None:
    bu.save({"visit": FIRST, "spend": SECOND}, tmp_path / "both.nc")
    bu.save(FIRST, tmp_path / "one.nc")
    with pytest.raises(PosteriorError, match="holds 2 posteriors: visit, spend; name one of them"):
        bu.load(tmp_path / "both.nc")
    with pytest.raises(PosteriorError, match=r"'visits' is not among them\. Did you mean 'visit'\?"):
        bu.load(tmp_path / "both.nc", "visits")
    with pytest.raises(PosteriorError, match="holds one posterior, without a name; 'visit' was asked for"):
        bu.load(tmp_path / "one.nc", "visit")


@pytest.mark.parametrize("name", ["", ".", "..", "posterior"])
def test_a_name_that_means_something_else_in_a_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PosteriorError, match="rename it"):
        bu.save({name: FIRST, "spend": SECOND}, tmp_path / "both.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{}, xr.Dataset(), 3, {"visit": xr.Dataset()}, xr.DataTree(name="empty")])
def test_what_is_no_posterior_is_not_saved(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(PosteriorError):
        bu.save(wrong, tmp_path / "none.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "posterior.nc"
    bu.save(FIRST, file)
    before = file.read_bytes()

    def half(_: xr.DataTree, path: str, **__: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", half)
    with pytest.raises(UnreadableFileError, match=r"cannot write .*No space left"):
        bu.save(SECOND, file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_an_interrupted_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: xr.DataTree, path: str, **__: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.DataTree, "to_netcdf", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bu.save(FIRST, tmp_path / "posterior.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    bu.save(FIRST, tmp_path / "posterior.nc")
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_folder_that_is_a_file_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(UnreadableFileError, match="cannot write"):
        bu.save(FIRST, tmp_path / "folder" / "posterior.nc")


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no file .*nowhere\.nc"):
        bu.load(tmp_path / "nowhere.nc")
    with pytest.raises(FileNotFoundError):
        bu.load(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"not netCDF", b"\x89HDF\r\n\x1a\n" + bytes(600)], ids=["empty", "text", "HDF5"]
)
# h5netcdf 1.8 closes a file that never opened, and reports the failure of that as unraisable.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_file_that_is_not_netcdf_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "wrong.nc"
    file.write_bytes(content)
    with pytest.raises(UnreadableFileError, match="is not a netCDF file of a posterior"):
        bu.load(file)


# The same as above.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "posterior.nc"
    bu.save(FIRST, file)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UnreadableFileError):
        bu.load(file)


def test_a_file_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    later = FIRST.copy()
    later.attrs["schema_version"] = 2
    later.to_netcdf(tmp_path / "later.nc", engine="h5netcdf")
    with pytest.raises(PosteriorError, match="upgrade bayesuplift"):
        bu.load(tmp_path / "later.nc")


def test_a_file_that_is_read_in_blocks_gives_the_same_policy_and_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = over_units(noisy([[0.0, 0.45 + 0.03 * k, -0.1] for k in range(9)], sd=0.3, seed=4).astype("float32"))
    bu.save(tree, tmp_path / "units.nc")
    later = bu.load(tmp_path / "units.nc", in_memory=False)
    monkeypatch.setattr(places, "_BLOCK", 4 * 100 * 3 * 2)  # two units at a time
    economics = bu.Economics(1.0, 0.1)
    policies = [bu.target(one, economics, rule=bu.RiskAdjusted(0.5)) for one in (tree, later)]
    assert policies[0].share.equals(policies[1].share)
    values = [bu.policy_value(policy, one) for policy, one in zip(policies, (tree, later), strict=True)]
    assert values[0].identical(values[1])
    assert 0 < policies[0].number_treated < 9


def test_a_file_that_is_read_in_blocks_is_checked_as_it_is_read(tmp_path: Path) -> None:
    draws = noisy([[0.0, 0.2]] * 5, sd=0.3, seed=4)
    draws[1, 3, 2, 1] = float("nan")
    tree = over_units(draws, arms=("control", "offer"))
    with pytest.raises(PosteriorError, match="1 missing or infinite"):
        bu.save(tree, tmp_path / "bad.nc")
    tree.to_netcdf(tmp_path / "bad.nc", engine="h5netcdf")
    later = bu.load(tmp_path / "bad.nc", in_memory=False)
    with pytest.raises(PosteriorError, match="missing or infinite draws among units 0 on"):
        bu.target(later, bu.Economics(1.0, 0.1))
    again = tmp_path / "again.nc"
    bu.save(bu.load(tmp_path / "bad.nc", in_memory=False), again)
    with pytest.raises(PosteriorError, match="1 missing or infinite"):
        bu.load(again)
