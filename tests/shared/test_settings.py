"""Settings come from the environment, refuse what cannot work, and never show a secret."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bbws.shared.settings import PAYFAST_RANGES, UNSAFE_SIGNING_KEY, Settings, secret

KEYS = {"cursor_signing_key": "c" * 32, "token_signing_key": "t" * 32}
SECRETS = {
    "aws_secret_access_key": "secret-one",
    "aws_session_token": "secret-two",
    "payfast_merchant_key": "secret-three",
    "payfast_passphrase": "secret-four",
    "cursor_signing_key": "secret-five",
    "token_signing_key": "secret-six",
    "audit_signing_keys": "secret-seven",
}
WORDS = st.text(alphabet=st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1)
ENTRIES = st.lists(WORDS.filter(lambda word: "," not in word), max_size=4).map(tuple)
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "environment": st.just("local"),
        "bucket_suffix": st.from_regex(r"[a-z0-9-]{0,24}", fullmatch=True),
        "aws_endpoint_url": st.none() | st.just("http://127.0.0.1:4566"),
        "aws_access_key_id": st.none() | WORDS,
        "aws_secret_access_key": st.none() | WORDS.map(SecretStr),
        "gateway_port": st.integers(0, 65535),
        "trusted_proxies": st.sampled_from([(), ("10.0.0.0/8",), ("10.0.0.0/8", "fd00::/8")]),
        "outbox_grace_s": st.floats(min_value=0.001, max_value=1e6),
        "seller_name": WORDS,
        "seller_address": ENTRIES,
        "seller_vat_number": st.none() | st.from_regex(r"4[0-9]{9}", fullmatch=True),
        "mail_file_dir": st.just(Path("some where/mails")),
        "mail_internal_recipients": ENTRIES.filter(bool),
        "payfast_passphrase": st.none() | WORDS.map(SecretStr),
        "log_level": st.sampled_from(["DEBUG", "ERROR"]),
    },
)


def _from(environment: dict[str, str]) -> Settings:
    with patch.dict(os.environ, environment, clear=True):
        return Settings()


def test_nothing_needs_to_be_set_on_a_laptop() -> None:
    """`make demo` has no settings file."""
    settings = _from({})
    assert (settings.environment, settings.gateway_host) == ("local", "127.0.0.1")
    assert settings.payfast_source_ranges == PAYFAST_RANGES


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ()), ("10.0.0.0/8", ("10.0.0.0/8",)), (" 10.0.0.0/8 ,, 192.168.0.1 ", ("10.0.0.0/8", "192.168.0.1"))],
)
def test_a_list_is_separated_by_commas(text: str, expected: tuple[str, ...]) -> None:
    """An environment variable has no other way to say several things; JSON there is what people get wrong."""
    assert _from({"BBWS_TRUSTED_PROXIES": text}).trusted_proxies == expected


@examples(deadline=None)
@given(given=GIVEN)
def test_another_process_gets_the_same_settings_through_its_environment(given: dict[str, Any]) -> None:
    """`bbws up` starts the production processes; a setting that is lost on the way is a different system."""
    with patch.dict(os.environ, {}, clear=True):
        settings = Settings(**given)
    assert _from(settings.as_environment()) == settings


@pytest.mark.parametrize("name", ["BBWS_SELLER_VAT_NUMBER", "BBWS_PAYFAST_PASSPHRASE", "AWS_ENDPOINT_URL"])
def test_a_variable_set_to_nothing_says_none(name: str) -> None:
    """A seller who is no VAT vendor must be able to say so, and compose hands on empty variables."""
    settings = _from({name: ""})
    assert getattr(settings, name.removeprefix("BBWS_").lower()) is None


def test_no_secret_shows_in_any_form_of_the_settings() -> None:
    """Settings end up in logs and tracebacks; what is secret must not."""
    settings = Settings(**SECRETS)  # type: ignore[arg-type]
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "secret-" not in text
    assert secret(settings.payfast_passphrase) == "secret-four"


def test_every_secret_is_known_to_this_test() -> None:
    """A key, token or passphrase added as plain text would be logged; the type is what hides it."""
    telling = ("_key", "_keys", "_token", "passphrase", "password", "_secret")
    named = {name for name in Settings.model_fields if name.endswith(telling)}
    assert named == set(SECRETS)


EARNEST: dict[str, Any] = {
    "environment": "prod",
    **KEYS,
    "audit_signing_keys": "a" * 32,
    "cognito_user_pool_id": "af-south-1_Pool01",
    "cognito_client_ids": ("client",),
    "payfast_passphrase": "a long passphrase",
    "payfast_url": "https://www.payfast.co.za",
    "payfast_merchant_id": "12345678",
    "public_base_url": "https://shop.example",
}


@pytest.mark.parametrize("environment", ["dev", "sit", "prod"])
@pytest.mark.parametrize("key", ["", UNSAFE_SIGNING_KEY, "short"])
@pytest.mark.parametrize("name", sorted(KEYS))
def test_outside_of_local_each_signing_key_must_be_ones_own(environment: str, name: str, key: str) -> None:
    """With a key from the source code anybody can sign tokens."""
    with pytest.raises(ValidationError, match="BBWS_CURSOR_SIGNING_KEY"):
        Settings(**{**EARNEST, "environment": environment, name: key})
    assert Settings(**{**EARNEST, "environment": environment})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"payfast_passphrase": None}, "BBWS_PAYFAST_PASSPHRASE"),
        ({"payfast_passphrase": "guessable"}, "BBWS_PAYFAST_PASSPHRASE"),
        ({"payfast_url": "https://sandbox.payfast.co.za"}, "BBWS_PAYFAST_URL"),
        ({"payfast_merchant_id": "10000100"}, "BBWS_PAYFAST_MERCHANT_ID"),
        ({"public_base_url": "http://shop.example"}, "BBWS_PUBLIC_BASE_URL"),
        ({"token_signing_key": EARNEST["cursor_signing_key"]}, "must differ"),
        ({"audit_signing_keys": EARNEST["token_signing_key"]}, "BBWS_AUDIT_SIGNING_KEYS"),
        ({"audit_signing_keys": f"{'n' * 32},short"}, "BBWS_AUDIT_SIGNING_KEYS"),
        ({"audit_signing_keys": UNSAFE_SIGNING_KEY}, "BBWS_AUDIT_SIGNING_KEYS"),
    ],
)
def test_production_refuses_play_money_and_guessable_secrets(changed: dict[str, Any], named: str) -> None:
    """The sandbox really signs and really answers VALID: orders would be paid with nothing."""
    assert Settings(**EARNEST)
    with pytest.raises(ValidationError, match=named):
        Settings(**{**EARNEST, **changed})


def test_the_newest_key_of_audit_trails_comes_first_and_there_is_one() -> None:
    """A trail that was signed with the key of last year must be verified this year."""
    settings = Settings(audit_signing_keys=SecretStr("new , old,"))
    assert settings.audit_keys == ("new", "old")
    with pytest.raises(ValidationError, match="holds no key"):
        Settings(audit_signing_keys=SecretStr(" ,"))


def test_keys_may_come_later_from_secrets_manager() -> None:
    """On AWS no secret stands in the environment; bootstrap checks again with the real ones."""
    assert Settings(environment="prod", secrets_name="bbws/prod").secrets_name == "bbws/prod"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BBWS_ENVIRONMENT", "mars"),
        ("BBWS_BUCKET_SUFFIX", "With_Capitals"),
        ("BBWS_GATEWAY_PORT", "65536"),
        ("BBWS_RECEIVE_WAIT_S", "21"),
        ("BBWS_TRUSTED_PROXIES", "10.0.0.0/8,localhost"),
        ("BBWS_PAYFAST_SOURCE_RANGES", "10.0.0.0/33"),
        ("BBWS_SELLER_VAT_NUMBER", "5123456789"),
        ("BBWS_MAIL_TRANSPORT", "pigeon"),
        ("BBWS_OUTBOX_GRACE_S", "0"),
        ("AWS_REGION", ""),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(name: str, value: str) -> None:
    """A process that starts with it fails at the first order instead."""
    with pytest.raises(ValidationError):
        _from({name: value})


def test_an_address_has_no_slash_at_its_end() -> None:
    """Links are made by adding a path; two slashes are another URL, and PayFast signs URLs."""
    assert _from({"BBWS_PUBLIC_BASE_URL": "https://bbws.example/"}).public_base_url == "https://bbws.example"
