"""The cost of a run according to the balance endpoint: each account counts once, however many tokens it has."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from tests.harness import MakeCrawler, StartSandbox
from xingtu_crawler.api.secrets import fingerprint
from xingtu_crawler.sandbox.tokens import PRICE

Database = AsyncDatabase[dict[str, Any]]

ACCOUNTS = {"a1": "A", "a2": "A", "b1": "B"}


@pytest.mark.parametrize(
    ("tokens", "asked"),
    [
        ("A:a1,A:a2,B:b1", {"a2", "b1"}),  # the balance is requested with one token per account
        ("a1,a2,b1", {"a1", "a2", "b1"}),
        ("A:a1,a2", {"a1", "a2"}),
    ],
)
async def test_a_run_records_its_cost(
    tokens: str, asked: set[str], start_sandbox: StartSandbox, make_crawler: MakeCrawler, mongo_db: Database
) -> None:
    balances = {"A": 1_000, "B": 2_000}
    options = [f"{token}=account:{name},balance:{balances[name]}" for token, name in ACCOUNTS.items()]
    sandbox = start_sandbox("--authors", "40", *(word for option in options for word in ("--token", option)))
    done = make_crawler(sandbox, token=tokens)("author_square")
    assert done.returncode == 0, done.stderr
    run = await mongo_db.runs.find_one({})
    assert run is not None
    cost = run["cost"]
    ledger = sandbox.ledger()
    assert ledger["billed"] == run["calls"]["billed"] == 2 + 40 * 4
    price = Decimal(str(PRICE))
    before = {alias: Decimal(each["before"]) for alias, each in cost["balances"].items()}
    assert before == {fingerprint(token): balances[ACCOUNTS[token]] * price for token in asked}
    after = {ACCOUNTS[token]: Decimal(cost["balances"][fingerprint(token)]["after"]) for token in asked}
    spent = price * ledger["billed"]
    assert sum(balances[name] * price - left for name, left in after.items()) == spent
    assert Decimal(cost["spent"]) == spent
    assert Decimal(cost["per_call"]) == round(spent / ledger["calls"], 6)
    assert Decimal(cost["per_author"]) == round(spent / 40, 6)
