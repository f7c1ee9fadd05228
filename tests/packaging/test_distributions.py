"""What ``make dist`` makes: whole, checked, and the same from the clone and from the sdist."""

from __future__ import annotations

import email
import email.message
import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from airflow_provider_zilliant import __version__
from airflow_provider_zilliant.get_provider_info import get_provider_info
from tests.harness.environments import PROJECT
from tests.packaging.conftest import build, run

PACKAGE = PROJECT / "airflow_provider_zilliant"


def metadata_of(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_twine_finds_nothing_to_complain_about(distributions):
    said = run(
        sys.executable,
        *("-m", "twine", "--no-color", "check", "--strict", distributions.wheel, distributions.sdist),
        cwd=distributions.folder,
    )
    assert said.count("PASSED") == 2


def test_the_wheel_holds_the_package_its_data_the_licence_and_the_examples_and_no_more(distributions):
    with zipfile.ZipFile(distributions.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        info = {name.partition(".dist-info/")[2] for name in archive.namelist() if ".dist-info/" in name}
        examples = {name: archive.read(name) for name in held if "/example_dags/" in name}
    package = {
        path.relative_to(PROJECT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    in_clone = {path.name: path.read_bytes() for path in (PROJECT / "example_dags").glob("*.py")}
    assert len(in_clone) >= 4
    assert held == package | {f"airflow_provider_zilliant/example_dags/{name}" for name in in_clone}
    assert {name.rpartition("/")[2]: text for name, text in examples.items()} == in_clone
    assert {"airflow_provider_zilliant/py.typed", "airflow_provider_zilliant/sandbox/page.html"} <= held
    assert info == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_holds_what_the_tests_and_the_makefile_need_and_nothing_that_they_leave_behind(distributions):
    with tarfile.open(distributions.sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "docs/decisions.md"}
    wanted |= {"tests/conftest.py", "tests/harness/environments.py", "tools/demo.py", "tools/dags/chaos.py"}
    wanted |= {"example_dags/publish_list_prices.py", "airflow_provider_zilliant/py.typed"}
    assert wanted <= held
    left_behind = re.compile(
        r"(^|/)(__pycache__|\.venv|\.demo|\.environments|\.hypothesis|dist|[^/]*_cache)(/|$)|\.pyc$"
    )
    assert [name for name in held if left_behind.search(name)] == []


def test_clone_and_sdist_build_the_same_bytes_twice(distributions, tmp_path):
    again = build(PROJECT, tmp_path / "from-the-clone", "--wheel", "--sdist")
    assert (again / distributions.wheel.name).read_bytes() == distributions.wheel.read_bytes()
    assert (again / distributions.sdist.name).read_bytes() == distributions.sdist.read_bytes()


def test_the_oldest_allowed_build_backend_makes_the_same_wheel(distributions, tmp_path):
    """But for what it writes of itself: the name of the generator, and the metadata's version."""
    (requirement,) = tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"]
    constraint = tmp_path / "lowest.txt"
    constraint.write_text(requirement.replace(">=", "=="))
    run(
        *(sys.executable, "-m", "uv", "build", "--wheel", "--build-constraints", constraint),
        *("--out-dir", tmp_path / "oldest", distributions.sdist),
        cwd=tmp_path,
    )
    (oldest,) = (tmp_path / "oldest").glob("*.whl")
    assert _contents(oldest) == _contents(distributions.wheel)
    old, new = metadata_of(oldest), metadata_of(distributions.wheel)
    for told in (old, new):
        del told["Metadata-Version"]
    assert sorted(map(_requirement, old.items())) == sorted(map(_requirement, new.items()))
    assert old.get_payload() == new.get_payload()


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith(("/METADATA", "/WHEEL", "/RECORD"))]
        return {name: archive.read(name) for name in names}


def _requirement(header: tuple[str, str]) -> tuple[str, str]:
    return header[0], header[1].replace('"', "'")


def test_one_version_and_a_licence_and_no_invented_address(distributions):
    told = metadata_of(distributions.wheel)
    assert told["Name"] == get_provider_info()["package-name"] == "airflow-provider-zilliant"
    assert told["Version"] == __version__ == get_provider_info()["versions"][0]
    newest = re.search(r"^## (\S+)", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
    assert told["License-Expression"] == "Apache-2.0"
    assert told["License-File"] == "LICENSE"
    assert told["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in told.get_all("Classifier", [])
    assert told.get_all("Project-URL") is None
    assert told["Home-page"] is None
    assert str(told.get_payload()).startswith("# airflow-provider-zilliant")


def test_the_version_is_written_once():
    written = [
        path.relative_to(PROJECT).as_posix()
        for path in [PROJECT / "pyproject.toml", *PACKAGE.rglob("*.py")]
        if f'"{__version__}"' in path.read_text()
    ]
    assert written == ["airflow_provider_zilliant/__init__.py"]
