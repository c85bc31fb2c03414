"""Where tables, runs, streams and large values are kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from orchestrator.core.postgres_address import PostgresAddress
from orchestrator.core.redis_address import RedisAddress
from orchestrator.core.settings.section import HttpUrl, Section


class DatabaseSettings(Section):
    """The rooms' tables: PostgreSQL by ``url``, or a SQLite file in the data directory when none is given."""

    url: SecretStr | None = Field(None, description="an address like postgres://user:password@host:5432/name")
    max_open_conns: int = Field(25, ge=1, le=10_000, description="the most connections open, from 1 to 10000")
    max_idle_conns: int = Field(
        5, ge=1, le=10_000, description="the most connections kept open while idle, from 1 to 10000"
    )

    @model_validator(mode="after")
    def _an_address(self) -> DatabaseSettings:
        try:
            _ = self.postgres
        except ValueError as error:
            takes = DatabaseSettings.model_fields["url"].description
            raise ValueError(f"database.url takes {takes}: {error}") from None
        return self

    @property
    def postgres(self) -> PostgresAddress | None:
        """Where the tables are; None for a SQLite file in the data directory."""
        return PostgresAddress.parse(self.url.get_secret_value()) if self.url else None


class JournalSettings(Section):
    """Where runs are recorded: how long those that have ended are kept."""

    retention_days: int = Field(
        30, ge=0, le=36_500, description="days that ended runs are kept, up to 36500, or 0 for ever"
    )

    @property
    def retention(self) -> timedelta | None:
        """How long ended runs are kept; None is for ever."""
        return timedelta(days=self.retention_days) if self.retention_days else None


class RedisSettings(Section):
    """Redis for event streams, by ``url`` or by ``addr`` and ``db``."""

    url: SecretStr | None = Field(None, description="an address like redis://host:6379/0")
    addr: str | None = Field(None, pattern=r"^[^\s:/]+:\d{1,5}$", description="host:port")
    db: int = Field(0, ge=0, description="a database number, 0 or more")

    @model_validator(mode="after")
    def _one_address(self) -> RedisSettings:
        try:
            given = RedisAddress.parse(self.url.get_secret_value()) if self.url else None
        except ValueError as error:
            takes = RedisSettings.model_fields["url"].description
            raise ValueError(f"redis.url takes {takes}: {error}") from None
        if given and self.addr and (str(given), given.db) != (self.addr, self.db):
            raise ValueError("redis.url and redis.addr name different places; set one of them")
        return self

    @property
    def address(self) -> str | None:
        """The one address as a URL, or None when Redis is not configured."""
        if self.url:
            return self.url.get_secret_value()
        return f"redis://{self.addr}/{self.db}" if self.addr else None


class PayloadSettings(Section):
    """What runs record: how large one value may be, and with what it is encrypted."""

    max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="the size in bytes of the largest value that a run may record, from 1024 to 1073741824",
    )
    encryption_keys: SecretStr | None = Field(
        None,
        description="keys as id:base64,id:base64, the one that encrypts first, each of 32 bytes "
        "(`openssl rand -base64 32` makes one)",
    )
    store_dir: Path | None = Field(
        None,
        description="a directory that all processes see, for pictures and large values of runs on Temporal",
    )
    s3_bucket: str | None = Field(
        None, pattern=r"^[a-z0-9.-]{3,63}$", description="the name of an S3 bucket, for the same in its place"
    )
    s3_endpoint_url: HttpUrl | None = Field(None, description="an address like http://minio:9000")
    s3_region: str | None = Field(None, min_length=1, description="the name of a region, like eu-central-1")
    s3_access_key_id: str | None = Field(None, min_length=1, description="the id of an access key")
    s3_secret_access_key: SecretStr | None = Field(None, description="the secret of that access key")

    @model_validator(mode="after")
    def _one_store(self) -> PayloadSettings:
        if self.store_dir and self.s3_bucket:
            raise ValueError("payloads.store_dir and payloads.s3_bucket are two places; set one of them")
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError(
                "payloads.s3_access_key_id and payloads.s3_secret_access_key go together; set both or none"
            )
        return self
