"""All settings of all processes, read from environment variables with the prefix BBWS_.

Secrets are `SecretStr`, so that no log line and no traceback shows them. On AWS they come from the Secrets Manager
secret named by BBWS_SECRETS_NAME, a JSON object whose keys are field names of this class.
"""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

List = Annotated[tuple[str, ...], NoDecode]

# What payfast-php-sdk and PayFast's documentation name as senders of ITNs; a change there is a change of settings here.
PAYFAST_HOSTS = ("www.payfast.co.za", "sandbox.payfast.co.za", "w1w.payfast.co.za", "w2w.payfast.co.za")
PAYFAST_RANGES = (
    "197.97.145.144/28",
    "41.74.179.192/27",
    "102.216.36.0/28",
    "102.216.36.128/28",
    "144.126.193.139/32",
)
SANDBOX_MERCHANT = "10000100"
MIN_KEY_CHARS = 32
MIN_PASSPHRASE_CHARS = 12
UNSAFE_SIGNING_KEY = "only-for-a-laptop"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="BBWS_", frozen=True, extra="ignore", populate_by_name=True)

    environment: Annotated[str, Field(pattern=r"^(local|dev|sit|prod)$")] = "local"
    # Bucket names are global to all of S3: whoever else runs BBWS needs names of their own.
    bucket_suffix: Annotated[str, Field(pattern=r"^[a-z0-9-]*$", max_length=24)] = ""
    aws_region: str = Field("af-south-1", min_length=1, validation_alias=AliasChoices("AWS_REGION", "BBWS_AWS_REGION"))
    aws_endpoint_url: str | None = Field(
        None, pattern=r"^https?://", validation_alias=AliasChoices("AWS_ENDPOINT_URL", "BBWS_AWS_ENDPOINT_URL")
    )
    # None: botocore's own chain finds the credentials (role, profile, web identity).
    aws_access_key_id: str | None = Field(None, validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(None, validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr | None = Field(None, validation_alias="AWS_SESSION_TOKEN")
    secrets_name: str | None = None
    # Where browsers reach S3, for links to documents; None: as we do. Differs inside a container network.
    documents_endpoint_url: str | None = None

    gateway_host: str = "127.0.0.1"
    gateway_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    public_base_url: str = "http://127.0.0.1:8080"
    trusted_proxies: List = ()
    max_body_bytes: Annotated[int, Field(gt=0)] = 256 * 1024

    # 0: a consumer serves no /healthz and /metrics. It binds to `gateway_host`.
    consumer_http_port: Annotated[int, Field(ge=0, le=65535)] = 0

    receive_wait_s: Annotated[int, Field(ge=0, le=20)] = 20
    # A mail is sent again when its sender has said nothing for so long; below the queues' visibility timeout.
    mail_lease_s: Annotated[int, Field(gt=0)] = 25
    # What a crash left unjudged is taken up after this; longer than the question to PayFast takes.
    itn_check_after_s: Annotated[float, Field(gt=0)] = 30.0
    # How often each loop of `housekeeping` looks for work.
    housekeeping_interval_s: Annotated[float, Field(gt=0)] = 5.0
    # The committing process publishes at once; housekeeping takes over what is older than this.
    outbox_grace_s: Annotated[float, Field(gt=0)] = 10.0
    template_revalidate_s: Annotated[float, Field(ge=0)] = 30.0
    pdf_processes: Annotated[int, Field(ge=1, le=32)] = 2

    seller_name: str = "BBWS Hosting (Pty) Ltd"
    seller_address: List = ("12 Loop Street", "Cape Town", "8001", "South Africa")
    # None: not a VAT vendor; then no invoice shows VAT or calls itself a tax invoice.
    seller_vat_number: Annotated[str | None, Field(pattern=r"^4\d{9}$")] = "4123456789"
    seller_email: str = "accounts@bbws.example"

    mail_from: str = "BBWS Hosting <orders@bbws.example>"
    mail_internal_recipients: Annotated[List, Field(min_length=1)] = ("sales@bbws.example",)
    mail_transport: Literal["sesv2", "ses", "file"] = "sesv2"
    mail_file_dir: Path = Path(".bbws/mail")

    payfast_merchant_id: str = SANDBOX_MERCHANT
    payfast_merchant_key: SecretStr = SecretStr("46f0cd694581a")
    payfast_passphrase: SecretStr | None = None
    # Where the buyer's browser goes.
    payfast_url: str = "https://sandbox.payfast.co.za"
    # Where we ask whether an ITN is genuine; None: at `payfast_url`. Differs inside a container network.
    payfast_server_url: str | None = None
    # Where PayFast reaches the gateway with its ITNs; None: at `public_base_url`.
    payfast_notify_base_url: str | None = None
    payfast_source_hosts: List = PAYFAST_HOSTS
    payfast_source_ranges: List = PAYFAST_RANGES
    # PayFast's addresses change: `flag` accepts an ITN from elsewhere when all other checks hold, and marks it.
    payfast_source_check: Literal["enforce", "flag"] = "enforce"
    payfast_validate_timeout_s: Annotated[float, Field(gt=0)] = 10.0

    # The user pool that callers of the API come from, and the apps whose tokens count.
    cognito_user_pool_id: Annotated[str | None, Field(pattern=r"^[\w-]+_[0-9A-Za-z]+$")] = None
    cognito_client_ids: List = ()
    # Where the pool's keys are; None: at the issuer, as on AWS. Differs for an emulator, whose tokens name AWS.
    cognito_jwks_url: Annotated[str | None, Field(pattern=r"^https?://")] = None

    cursor_signing_key: SecretStr = SecretStr(UNSAFE_SIGNING_KEY)
    token_signing_key: SecretStr = SecretStr(UNSAFE_SIGNING_KEY)
    # The first one signs the heads of audit trails; former ones stay behind it, separated by commas.
    audit_signing_keys: SecretStr = SecretStr(UNSAFE_SIGNING_KEY)

    log_format: Literal["auto", "json", "pretty"] = "auto"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator(
        "trusted_proxies", "seller_address", "mail_internal_recipients", "payfast_source_hosts",
        "payfast_source_ranges", "cognito_client_ids", mode="before",
    )  # fmt: skip
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any, info: ValidationInfo) -> Any:
        """A variable that is set to nothing says None, where a field may be None: `BBWS_SELLER_VAT_NUMBER=`."""
        optional = type(None) in get_args(cls.model_fields[info.field_name or ""].annotation)
        return None if optional and value == "" else value

    @field_validator(
        "public_base_url", "payfast_url", "payfast_server_url", "payfast_notify_base_url", "documents_endpoint_url"
    )
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value

    @field_validator("trusted_proxies", "payfast_source_ranges")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network, strict=False)
        return value

    @field_validator("audit_signing_keys")
    @classmethod
    def _holds_a_key(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().strip(" ,"):
            raise ValueError("holds no key")
        return value

    @property
    def cognito_issuer(self) -> str | None:
        """What the pool's tokens say in `iss`."""
        pool = self.cognito_user_pool_id
        return f"https://cognito-idp.{pool.partition('_')[0]}.amazonaws.com/{pool}" if pool else None

    @property
    def audit_keys(self) -> tuple[str, ...]:
        """What signs, and what may have signed, the heads of audit trails; the newest first."""
        keys = self.audit_signing_keys.get_secret_value().split(",")
        return tuple(key.strip() for key in keys if key.strip())

    def as_environment(self) -> dict[str, str]:
        """The variables that give another process these settings; holds secrets in the clear."""
        names = {
            name: field.validation_alias or f"BBWS_{name.upper()}" for name, field in type(self).model_fields.items()
        }
        given = ((name, getattr(self, name)) for name in sorted(self.model_fields_set))
        return {_variable(names[name]): _text(value) for name, value in given}

    @model_validator(mode="after")
    def _fit_for_earnest(self) -> Self:
        """Checked once the secrets are known: what is fine on a laptop must not go unnoticed where money moves."""
        if self.environment == "local" or self.secrets_name is not None:
            return self
        if problems := [*self._weak_secrets(), *(self._play_money() if self.environment == "prod" else ())]:
            raise ValueError(f"BBWS_ENVIRONMENT={self.environment}: {'; '.join(problems)}")
        return self

    def _weak_secrets(self) -> Iterator[str]:
        cursor, token = self.cursor_signing_key.get_secret_value(), self.token_signing_key.get_secret_value()
        if min(len(cursor), len(token)) < MIN_KEY_CHARS or cursor == token:
            yield (
                f"BBWS_CURSOR_SIGNING_KEY and BBWS_TOKEN_SIGNING_KEY need {MIN_KEY_CHARS} characters or more each, and "
                "must differ; from the environment or from BBWS_SECRETS_NAME"
            )
        if min(map(len, self.audit_keys)) < MIN_KEY_CHARS or {cursor, token} & {*self.audit_keys}:
            yield f"BBWS_AUDIT_SIGNING_KEYS needs {MIN_KEY_CHARS} characters or more in each key, and keys of its own"
        if not (self.cognito_user_pool_id and self.cognito_client_ids):
            yield "BBWS_COGNITO_USER_POOL_ID and BBWS_COGNITO_CLIENT_IDS say whose tokens count"
        if len(secret(self.payfast_passphrase) or "") < MIN_PASSPHRASE_CHARS:
            yield (
                f"BBWS_PAYFAST_PASSPHRASE needs {MIN_PASSPHRASE_CHARS} characters or more: anybody could sign notices "
                "without one, and guess a short one from a checkout form"
            )

    def _play_money(self) -> Iterator[str]:
        if "sandbox" in self.payfast_url or self.payfast_merchant_id == SANDBOX_MERCHANT:
            yield "BBWS_PAYFAST_URL and BBWS_PAYFAST_MERCHANT_ID are the sandbox's, where no money moves"
        if not self.public_base_url.startswith("https://"):
            yield "BBWS_PUBLIC_BASE_URL must start with https://"


def secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _variable(alias: object) -> str:
    return str(alias.choices[0] if isinstance(alias, AliasChoices) else alias)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return value.get_secret_value()
        case tuple():
            return ",".join(map(str, value))
    return str(value)
