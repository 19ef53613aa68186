"""Every stat of a crawl with many faults is documented in docs/stats.md."""

from __future__ import annotations

import re

from tests.harness import ROOT, MakeCrawler, StartSandbox

PAGE = (ROOT / "docs" / "stats.md").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"^\| `(xingtu/[^`]+)` \|", PAGE, re.MULTILINE)


def test_every_stat_is_documented(start_sandbox: StartSandbox, make_crawler: MakeCrawler) -> None:
    faults = ("301", "400", "404", "600", "777", "garbage", "cut", "reset", "inner", "wrong_id", "bad_type", "deep")
    options = [word for fault in (*faults, "unknown_field") for word in ("--fault", f"{fault}=0.04")]
    sandbox = start_sandbox("--authors", "60", "--token", "bad=invalid", *options)
    settings = {"STATS_DUMP": 1, "LOG_LEVEL": "DEBUG", "XINGTU_MAX_ATTEMPTS": 2}
    crawler = make_crawler(sandbox, token="bad,good,better")
    done = crawler("author_square", settings=settings)
    done = crawler("author_square", settings=settings, restart=1) if "xingtu/fresh" not in done.stderr else done
    seen = set(re.findall(r"'(xingtu/[^']+)'", done.stderr))
    assert len(seen) > 20, done.stderr
    patterns = [re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(stat))) for stat in DOCUMENTED]
    assert {stat for stat in seen if not any(pattern.fullmatch(stat) for pattern in patterns)} == set()
