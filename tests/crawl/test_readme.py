"""The commands of both READMEs do what the pages say, run as a reader runs them."""

from __future__ import annotations

import re
import shutil
import sys
import venv
from pathlib import Path

from tests.harness import ROOT, Finished, environment, run
from xingtu_crawler.mongo.embedded import EmbeddedMongo

PAGES = ("README.md", "README.zh-CN.md")
NOT_TYPED = {
    "make demo",  # below, and in .ci/run without the packages of the tests
    "make test",  # is running
    "scrapy mongo",  # runs until Ctrl-C: see tests/commands/test_mongo.py
}
AN_AUTHOR = "$(scrapy find authors --limit 1 --fields star_id --lines | cut -d'\"' -f8)"
MEANT = {
    "scrapy plan author_square -a …": "scrapy plan author_square -a keyword=美食",
    "scrapy crawl author_square -a …": "scrapy crawl author_square -a keyword=美食 -a max_authors=20",
    "scrapy crawl author_square -a queries_file=…": (
        "echo keyword=美食 gender=FEMALE > queries.txt; "
        "scrapy crawl author_square -a queries_file=queries.txt -a max_authors=20"
    ),
    "scrapy crawl authors -a star_ids=…": f"scrapy crawl authors -a star_ids={AN_AUTHOR}",
}
"""What a reader types for a line with an ellipsis."""
TYPED = re.compile(r"```sh\n(?P<block>.*?)```|(?<![^\s(])`(?P<inline>(?:\. |export |scrapy )[^`\n]*)`", re.DOTALL)
MENTIONED = re.compile(r"scrapy (crawl( author_square| authors)?|find|plan)")
"""Commands that the text mentions without arguments."""


def commands(page: str) -> list[str]:
    """Return the commands of a page in their order."""
    found: list[str] = []
    for match in TYPED.finditer((ROOT / page).read_text(encoding="utf-8")):
        lines = match["block"].splitlines() if match["block"] else [match["inline"]]
        found += [re.sub(r" +# .*", "", line) for line in lines]
    return [line for line in found if not MENTIONED.fullmatch(line)]


def checkout(folder: Path) -> Path:
    """Copy the project and give it a virtual environment with the packages of this one."""
    copy = folder / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    venv.create(copy / ".venv", symlinks=True)
    (packages,) = (copy / ".venv" / "lib").glob("python*/site-packages")
    (packages / "of-the-tests.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
    scrapy = copy / ".venv" / "bin" / "scrapy"
    scrapy.write_text(f'#!/bin/sh\nexec "{copy}/.venv/bin/python" -m scrapy "$@"\n')
    scrapy.chmod(0o755)
    return copy


def variables(**more: str) -> dict[str, str]:
    # Bytecode is written, as it is for a reader.
    foreign = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "SCRAPY_SETTINGS_MODULE"}
    return {name: value for name, value in environment(**more).items() if name not in foreign}


def test_the_commands_of_the_readmes_do_what_they_say(mongo_path: Path, tmp_path: Path) -> None:
    """In the order of the pages, in one shell, with a sandbox in place of the real API; each command once."""
    lines = [line for line in dict.fromkeys(line for page in PAGES for line in commands(page)) if line not in NOT_TYPED]
    script = "\n".join(["set -e", *(f"echo '>>>'\n{MEANT.get(line, line)}" for line in lines)])
    env = variables(JUSTONEAPI_ENV="sandbox", XINGTU_DATA_DIR=str(mongo_path))
    with EmbeddedMongo(mongo_path / "mongo", min_free_bytes=0):  # or each command would start and stop it
        done = run(["bash", "-c", script], cwd=checkout(tmp_path), env=env)
    outputs = done.stdout.split(">>>\n")[1:]
    assert done.returncode == 0, f"{lines[len(outputs) - 1]}: {done.stderr}"
    for line, output in zip(lines, outputs, strict=True):
        assert output.strip() or not line.startswith("scrapy "), line


def test_the_readmes_have_commands() -> None:
    english, chinese = map(commands, PAGES)
    assert {"make demo", "make test", ". .venv/bin/activate", "export JUSTONEAPI_ENV=sandbox"} <= set(english)
    assert {"scrapy status", "scrapy mongo", "scrapy plan author_square -a …"} <= set(english)
    assert {"scrapy replay", "scrapy find authors --limit 1", "scrapy crawl authors -a star_ids=…"} <= set(chinese)
    # Both pages show the same way to the real API.
    assert [line for line in english if "max_calls" in line] == [line for line in chinese if "max_calls" in line]


def test_make_demo_shows_what_came_out(tmp_path: Path) -> None:
    """`make demo` in a copy of the project, with this environment's packages."""
    copy = checkout(tmp_path)
    for stamp in (".runtime", ".dev"):
        (copy / ".venv" / stamp).touch()
    done = run(["make", "demo"], cwd=copy, env=variables())
    assert done.returncode == 0, done.stderr
    for shown in ("author_base_info", "Calls by endpoint and code", "use the real API"):
        assert shown in done.stdout
    assert figure(done, "closed") == "max_authors"
    assert figure(done, "authors") == "200"


def figure(done: Finished, name: str) -> str:
    """Return the value of a row in the crawl's summary table."""
    found = re.search(rf"^│ {name} +│ (.*?) +│$", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return found[1]
