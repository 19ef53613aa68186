"""The options of the command line: defaults, and one line for each invalid option."""

from __future__ import annotations

import pytest

from xingtu_crawler.exceptions import SandboxError
from xingtu_crawler.sandbox.options import Config, parse


def test_the_defaults_on_the_command_line_are_those_of_the_configuration() -> None:
    assert parse([]) == Config()


def test_options_can_be_repeated() -> None:
    config = parse(["--fault", "301=0.1", "--fault", "html=0.2", "--fail", "search:2=500", "--token", "a=rate:5"])
    assert config.rates == {"301": 0.1, "html": 0.2}
    assert config.failures == {("search", "2"): "500"}
    assert config.tokens["a"].rate == 5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--port", "70000"], "--port"),
        (["--port", "http"], "--port"),
        (["--authors", "0"], "--authors"),
        (["--authors", "1000001"], "--authors"),
        (["--day", "x"], "--day"),
        (["--seed", "1.5"], "--seed"),
        (["--overlap", "2"], "--overlap"),
        (["--latency", "-1"], "--latency"),
        (["--jitter", "nan"], "--jitter"),
        (["--rate", "fast"], "rate"),
        (["--fault", "301"], "--fault"),
        (["--fail", "search=301"], "--fail"),
        (["--token", "a=rich"], "'rich'"),
        (["--token"], "--token"),
        (["--latancy", "5"], "did you mean --latency?"),
        (["surplus"], "surplus"),
    ],
)
def test_an_invalid_option_is_one_line_that_names_it(arguments: list[str], named: str) -> None:
    with pytest.raises(SandboxError) as caught:
        parse(arguments)
    assert "\n" not in str(caught.value)
    assert named in str(caught.value)
