"""The destination store: whole objects under keys, over the S3 protocol."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import boto3
import botocore.session
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from pydantic import SecretStr

from landpatch.errors import ConfigurationError, InfrastructureError, PermanentError, TransientError
from landpatch.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_WRONG_CREDENTIALS = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "403",
    "401",
}
_ABSENT = {"NoSuchKey", "404", "NotFound"}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a listing says of an object."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does."""


class Store(Protocol):
    """A place for whole objects. An object appears whole or not at all."""

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Store an object, replacing one that has this key."""

    def get(self, key: str) -> bytes | None:
        """The object's bytes; None when there is none."""

    def find(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below a prefix, sorted by key."""

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""

    def url(self, key: str) -> str:
        """Where a person or a reader finds the object."""

    def check(self) -> None:
        """Raise ConfigurationError or InfrastructureError when the store cannot be used."""


def make_s3_client(
    endpoint: str | None,
    access_key: SecretStr | None,
    secret_key: SecretStr | None,
    session_token: SecretStr | None = None,
    region: str = "us-east-1",
    connections: int = 10,
    retries: int = 3,
) -> "S3Client":
    """An S3 client with a session of its own: nothing is taken from the environment or shared.

    retries: how often a request is tried again without the caller's knowing.
    """
    # Neither a profile nor a configuration file of the user's is looked at.
    core = botocore.session.Session(
        session_vars=dict.fromkeys(("profile", "config_file", "credentials_file"), (None, None, None, None))
    )
    session = boto3.session.Session(
        botocore_session=core,
        aws_access_key_id=access_key.get_secret_value() if access_key else None,
        aws_secret_access_key=secret_key.get_secret_value() if secret_key else None,
        aws_session_token=session_token.get_secret_value() if session_token else None,
        region_name=region,
    )
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"total_max_attempts": 1 + retries, "mode": "standard"},
        max_pool_connections=connections,
        s3={"addressing_style": "path"},
        # Stores other than AWS do not all know the checksums that botocore adds since 1.36
        # (https://github.com/boto/boto3/issues/4392).
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=endpoint, config=config)


def translate(error: BotoCoreError | ClientError, what: str) -> Exception:
    """The landpatch error that an S3 error means; `what` names the store for a person."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _WRONG_CREDENTIALS:
            return ConfigurationError(f"{what} refuses the credentials ({code}); check key and secret")
        if code == "NoSuchBucket":
            return ConfigurationError(f"{what} has no such bucket; create it or name another")
        if code in _ABSENT:
            return PermanentError(f"{what} has no such object ({code})")
        return TransientError(f"{what} answered {code}")
    if isinstance(error, EndpointConnectionError):
        return InfrastructureError(f"{what} cannot be reached")
    return InfrastructureError(f"{what} does not answer: {type(error).__name__}")


class S3Store:
    """A bucket of an S3 server."""

    def __init__(
        self, client: "S3Client", bucket: str, endpoint: str | None, public_url: str | None = None
    ) -> None:
        """client: made by `make_s3_client`. endpoint: its URL. public_url: where readers find it."""
        self._client = client
        self._bucket = bucket
        self._url = public_url or endpoint
        self._what = f"the destination store (AWS_S3_ENDPOINT={endpoint or 'AWS'}, bucket {bucket})"

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Store an object with one request."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type)
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self._what) from error

    def get(self, key: str) -> bytes | None:
        """The object's bytes; None when there is none."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in _ABSENT:
                return None
            raise translate(error, self._what) from error

    def find(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below a prefix, sorted by key."""
        found: list[StoredObject] = []
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            ):
                for entry in page.get("Contents", []):
                    found.append(StoredObject(entry["Key"], entry["Size"], entry.get("ETag", "").strip('"')))
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self._what) from error
        yield from sorted(found, key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in _ABSENT:
                return
            raise translate(error, self._what) from error

    def url(self, key: str) -> str:
        """`{public_url or endpoint}/{bucket}/{key}`, or `s3://…` on AWS."""
        return f"{self._url}/{self._bucket}/{key}" if self._url else f"s3://{self._bucket}/{key}"

    def check(self) -> None:
        """Raise ConfigurationError or InfrastructureError when the bucket cannot be used."""
        try:
            self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)
        except (BotoCoreError, ClientError) as error:
            raise translate(error, self._what) from error


def open_store(settings: Settings) -> S3Store:
    """The destination store of the settings. Raises ConfigurationError when credentials are missing."""
    if settings.store_access_key is None or settings.store_secret_key is None:
        raise ConfigurationError(
            "no credentials for the destination store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    client = make_s3_client(
        settings.store_endpoint,
        settings.store_access_key,
        settings.store_secret_key,
        settings.store_session_token,
        settings.store_region,
    )
    return S3Store(client, settings.bucket, settings.store_endpoint, settings.store_url)
