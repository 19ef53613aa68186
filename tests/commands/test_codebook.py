"""`scrapy codebook`: the pages go where the user wants them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import command, environment, run
from xingtu_crawler.dataset.codebook import pages


def test_the_command_writes_the_pages(tmp_path: Path) -> None:
    done = run(command("codebook", "new/folder"), cwd=tmp_path, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Wrote {len(pages()) + 1} pages to new/folder.\n"
    for name, text in pages().items():
        assert (tmp_path / "new" / "folder" / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a", "b"), "scrapy codebook does not take 'b': run scrapy codebook -h for what it takes."),
        (("file",), "Cannot write the codebook to file (File exists): name another folder."),
        (("--bogus",), "Unknown option --bogus: run scrapy codebook -h for the options."),
    ],
)
def test_a_mistake_is_one_error_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "file").touch()
    done = run(command("codebook", *words), cwd=tmp_path, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {said}\n")
