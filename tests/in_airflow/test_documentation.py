"""Every code block of the README and of ``docs/``: Dag files load, scripts run, commands exist.

A comment before a block says more than its language does; ``docs/contributing.md`` lists what it may say.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
#: Of a comment, what stands before the first semicolon decides what is done with the block.
MARKS = ("run", "fragment")
OPTIONS = ("conn", "needs", "may fail")


@dataclass(frozen=True)
class Block:
    """One fenced block of code.

    :param mark: ``run``, ``fragment``, or empty: a Dag file that is loaded.
    :param options: what else the comment before it says.
    """

    page: Path
    line: int
    language: str
    text: str
    mark: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_dag_file(self) -> bool:
        return re.search(r"\bDAG\(|@dag\b", self.text) is not None

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    comment, fence, start, lines = "", None, 0, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        opening = re.fullmatch(r"(\s*)(`{3,})(\w*).*", line)
        if fence is None and opening is not None:
            fence, start, lines = opening, number, []
        elif fence is not None and line.strip() == fence[2]:
            mark, *options = [part.strip() for part in comment.split(";")]
            told = dict(re.fullmatch(r"(conn|needs|may fail)\s*(.*)", option).groups() for option in options)  # type: ignore[union-attr]
            yield Block(page, start, fence[3], textwrap.dedent("\n".join(lines)) + "\n", mark, told)
            comment, fence = "", None
        elif fence is not None:
            lines.append(line)
        elif line.strip():
            said = re.fullmatch(r"\s*<!--(.*)-->\s*", line)
            comment = said[1].strip() if said is not None else ""


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
SHELL = [block for block in BLOCKS if block.language == "bash"]


def here(block: Block) -> str:
    """The block's text as it is to be written for the present Airflow."""
    if airflow_version.startswith("2."):
        compatible = r"from airflow.providers.common.compat.sdk import \1"
        return re.sub(r"(?m)^from airflow\.sdk(?:\.exceptions)? import (.*)$", compatible, block.text)
    return block.text


def loaded(path: Path) -> Any:
    """What Airflow finds in the Dag file."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    return DagBag(dag_folder=str(path))


@pytest.fixture
def dag_file(database: Path) -> Iterator[Path]:
    path = database / "dags" / "of_the_documentation.py"
    yield path
    path.unlink(missing_ok=True)


def test_there_are_blocks_of_each_kind():
    assert len(PYTHON) > 10
    assert len(SHELL) > 5
    assert {block.mark for block in PYTHON} <= {"", *MARKS}


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_is_what_it_says(block, dag_file, sandbox, connect, monkeypatch):
    compile(block.text, str(block), "exec")
    if block.mark == "fragment":
        return
    if "needs" in block.options:
        pytest.importorskip(block.options["needs"])
    connect(connection_for(block, sandbox), block.options.get("conn") or "zilliant_default")
    if not block.is_dag_file:
        assert block.mark == "run", "neither a Dag file nor marked as one to run, or as a fragment"
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
        return
    dag_file.write_text(here(block))
    bag = loaded(dag_file)
    assert not bag.import_errors
    assert bag.dags
    for dag in bag.dags.values() if block.mark == "run" else ():
        run = dag.test()
        assert str(run.state) == ("failed" if "may fail" in block.options else "success")
    if block.mark == "run":
        assert sandbox.zilliant.job_records()


def connection_for(block: Block, sandbox: Any) -> dict[str, Any]:
    if block.options.get("conn") != "zilliant_http":
        return dict(sandbox.connection())
    import base64

    told = sandbox.connection()
    header = "OAuth " + base64.b64encode(told["password"].encode()).decode()
    headers = {"Authorization": header, "X-Forwarded-Host": told["extra"]["oauth_host"]}
    return {"conn_type": "http", "host": sandbox.url, "extra": headers}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_json_is_json(block):
    json.loads(block.text)


def commands_of(block: Block) -> Iterator[list[str]]:
    """The block's commands: one a line, each cut off at the first pipe or redirection."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.wordchars += "$@:,!%+"
        try:
            words = list(lexer)
        except ValueError:  # a quotation that goes on in the next line
            continue
        ends = [number for number, word in enumerate(words) if set(word) <= set("|&;<>()")]
        yield words[: ends[0]] if ends else words


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_is_shell_and_its_commands_exist(block):
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    for command in commands_of(block):
        match command:
            case ["airflow", *arguments]:
                assert_airflow_takes(arguments)
            case ["make", target, *_]:
                assert target in make_targets()
            case ["python" | "python3", "-m", module, *_]:
                assert importlib.util.find_spec(module) is not None


def assert_airflow_takes(arguments: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    try:
        get_parser().parse_args(arguments)
    except SystemExit:
        pytest.fail(f"airflow {shlex.join(arguments)}: this Airflow has no such command")


def make_targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z-]+):", (PROJECT / "Makefile").read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_named_make_targets_exist(page):
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))) <= make_targets()


def texts_of_the_package() -> str:
    """All its string literals, with an ellipsis in place of what varies."""
    found = []
    for path in (PROJECT / "airflow_provider_zilliant").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[.\d]*[a-z]", "…", node.value))
    return "\n".join(found)


def test_every_message_that_troubleshooting_explains_exists():
    page = (PROJECT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    explained, _, _ = page.partition("## It says nothing")
    cells = [line.split("|")[1] for line in explained.splitlines() if line.startswith("| ")]
    messages = [message for cell in cells for message in re.findall(r"\*([^*]+)\*", cell)]
    known = texts_of_the_package()
    # A field's or an argument's name may stand where the code puts it in.
    unknown = [
        part
        for message in messages
        for part in message.split("…")
        if part.strip(" .") not in known and re.sub(r"^\w+: ", "", part.strip()) not in known
    ]
    assert len(messages) > 50
    assert not unknown


@pytest.mark.parametrize("page", ["docs/crashes.md", "docs/reference/operator.md"])
def test_the_table_of_consent_is_the_one_that_is_executed(page):
    from airflow_provider_zilliant.operators.consent import to_markdown

    assert f"<!-- table of consent -->\n{to_markdown()}\n\n" in (PROJECT / page).read_text(encoding="utf-8")


def test_no_page_tells_to_clear_in_order_to_attach():
    """With the default ``on_clear``, a task that has told of its open job submits again when it is cleared."""
    for page in PAGES:
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert not re.search(r"clear(?:ing)? (?:the|this) task(?: attaches|: it attaches to the job \()", text), page


def test_the_readme_links_to_what_exists():
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (PROJECT / "README.md").read_text(encoding="utf-8"))
    assert targets
    assert not [target for target in targets if not (PROJECT / target).exists()]


def test_the_site_is_built_without_a_warning_and_needs_no_other_server(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    pages = [page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html")]
    assert any("ZilliantRunWorkflowOperator" in page for page in pages)
    fetched = [
        url for page in pages for url in re.findall(r"""<(?:script|img|iframe|link)[^>]*(https?://[^"' >]+)""", page)
    ]
    assert not fetched
    assert not [page for page in pages if re.search(r":(class|meth|func|attr|mod):`", page)]
