"""The destination store: whole objects under keys, over the S3 protocol."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import botocore.session
from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from landpatch.deadline import time_pools
from landpatch.errors import (
    ConfigurationError,
    DestinationError,
    InfrastructureError,
    LandpatchError,
    PermanentError,
    TransientError,
)
from landpatch.settings import Settings
from landpatch.stages import stage

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
REQUEST_S = 120
"""Seconds that a request may take, from its first byte to the last of its answer."""
_MAX_PAGES = 10_000
"""Of a listing, 1000 objects each."""
_PROBE = b"landpatch looks whether it may write here\n" * 1000


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

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix that ends in a slash, sorted."""

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""

    def url(self, key: str) -> str:
        """Where a person or a reader finds the object."""

    def check(self) -> None:
        """Raise ConfigurationError or InfrastructureError when the store cannot be read."""

    def check_writing(self, key: str) -> None:
        """Raise ConfigurationError or InfrastructureError when nothing can be stored under a key that is
        not used otherwise; leaves nothing behind."""


def make_s3_client(
    endpoint: str | None,
    access_key: SecretStr | None,
    secret_key: SecretStr | None,
    session_token: SecretStr | None = None,
    region: str = "us-east-1",
    connections: int = 10,
    retries: int = 3,
    request_s: float = REQUEST_S,
    *,
    hash_payload: bool = True,
) -> "S3Client":
    """An S3 client with a session of its own: nothing is taken from the environment or shared.

    retries: how often a request is tried again without the caller's knowing. request_s: seconds that one
    try may take. hash_payload: sign a hash of what is sent over HTTP; over HTTPS nobody does.
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
    if not hash_payload:
        config = config.merge(Config(s3={"addressing_style": "path", "payload_signing_enabled": False}))
    client = session.client("s3", endpoint_url=endpoint, config=config)
    _limit_requests(client, request_s)
    return client


def _limit_requests(client: Any, request_s: float) -> None:
    """botocore itself knows no time-out of a whole request, and has no other place to give it one."""
    http = client._endpoint.http_session
    http._pool_classes_by_scheme = time_pools(
        {"http": AWSHTTPConnectionPool, "https": AWSHTTPSConnectionPool}, request_s
    )
    http._manager.pool_classes_by_scheme = http._pool_classes_by_scheme


def translate(error: BotoCoreError | ClientError, what: str) -> LandpatchError:
    """The landpatch error that an S3 error means; `what` names the store for a person."""
    if isinstance(error, ClientError):
        # What is in front of a store answers with a status alone, or with a page.
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "unknown")
        code = str(error.response.get("Error", {}).get("Code") or status)
        if code in _WRONG_CREDENTIALS:
            return ConfigurationError(f"{what} refuses the credentials ({code}); check key and secret")
        if code == "NoSuchBucket":
            return ConfigurationError(f"{what} has no such bucket; create it or name another")
        if code in _ABSENT:
            return PermanentError(f"{what} has no such object ({code})")
        return TransientError(f"{what} answered {code}")
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return InfrastructureError(f"{what} cannot be reached")
    return TransientError(f"{what} does not answer: {type(error).__name__}")


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
        """Store an object with one request; the store checks what has arrived by its MD5."""
        digest = hashlib.md5(data, usedforsecurity=False)
        try:
            with stage("upload"):
                answer = self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=data,
                    ContentType=content_type,
                    ContentMD5=base64.b64encode(digest.digest()).decode(),
                )
        except (BotoCoreError, ClientError) as error:
            raise self._translate(error) from error
        if "ETag" not in answer:
            raise InfrastructureError(f"{self._what} does not say that it has stored {key}")
        if _read_md5(answer) not in {None, digest.hexdigest()}:
            raise InfrastructureError(f"{self._what} has stored something else as {key}")

    def get(self, key: str) -> bytes | None:
        """The object's bytes, whole; None when there is none."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with closing(answer["Body"]) as body:
                data: bytes = body.read()
        except (BotoCoreError, ClientError) as error:
            # A 404 that does not say so is not the store's own: it would be taken for an object that is gone.
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise self._translate(error) from error
        except (HTTPError, OSError) as error:
            raise InfrastructureError(f"{self._what} broke off: {type(error).__name__}") from error
        md5 = _read_md5(answer)
        # The body itself raises when it has another length than it says.
        if "ETag" not in answer or ("ContentLength" not in answer and md5 is None):
            raise InfrastructureError(f"{self._what} did not send {key} as an object")
        if md5 not in {None, hashlib.md5(data, usedforsecurity=False).hexdigest()}:
            raise InfrastructureError(f"{self._what} sent {key} with other bytes than its ETag says")
        return data

    def find(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below a prefix, sorted by key."""
        found: dict[str, StoredObject] = {}
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for number, page in enumerate(pages, 1):
                check_listing(page, prefix, self._what, InfrastructureError)
                if number > _MAX_PAGES:
                    raise InfrastructureError(f"{self._what} lists {prefix} without an end")
                for entry in page.get("Contents", []):
                    etag = entry.get("ETag", "").strip('"')
                    found[entry["Key"]] = StoredObject(entry["Key"], entry["Size"], etag)
        except (BotoCoreError, ClientError) as error:
            raise self._translate(error) from error
        yield from sorted(found.values(), key=lambda entry: entry.key)

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below a prefix that ends in a slash, sorted."""
        found: set[str] = set()
        try:
            lister = self._client.get_paginator("list_objects_v2")
            for number, page in enumerate(
                lister.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/"), 1
            ):
                check_listing(page, prefix, self._what, InfrastructureError)
                if number > _MAX_PAGES:
                    raise InfrastructureError(f"{self._what} lists {prefix} without an end")
                folders = (entry.get("Prefix", "") for entry in page.get("CommonPrefixes", []))
                found.update(name.removeprefix(prefix).strip("/") for name in folders)
        except (BotoCoreError, ClientError) as error:
            raise self._translate(error) from error
        return sorted(found)

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=key)
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in _ABSENT:
                return
            raise self._translate(error) from error

    def url(self, key: str) -> str:
        """`{public_url or endpoint}/{bucket}/{key}`, or `s3://…` on AWS."""
        return f"{self._url}/{self._bucket}/{key}" if self._url else f"s3://{self._bucket}/{key}"

    def check(self) -> None:
        """Raise ConfigurationError or InfrastructureError when the bucket cannot be read."""
        try:
            page = self._client.list_objects_v2(Bucket=self._bucket, MaxKeys=1)
        except (BotoCoreError, ClientError) as error:
            raise self._translate(error) from error
        check_listing(page, "", self._what, InfrastructureError)

    def check_writing(self, key: str) -> None:
        """Store a small object and remove it again.

        Raises ConfigurationError where that is denied, InfrastructureError where it fails: a store that is
        full or read-only.
        """
        try:
            self.put(key, _PROBE)
        except LandpatchError as error:
            with suppress(LandpatchError):
                self.delete(key)  # it may have been stored after all
            if isinstance(error, ConfigurationError):
                raise ConfigurationError(f"nothing can be stored: {error}") from error
            raise InfrastructureError(
                f"nothing can be stored, perhaps it is full or read-only: {error}"
            ) from error
        self.delete(key)

    def _translate(self, error: BotoCoreError | ClientError) -> LandpatchError:
        """What a fault of the destination means: whatever is not a wrong setting has to be waited for, as no
        other product would fare better."""
        meant = translate(error, self._what)
        kind = DestinationError if isinstance(meant, ConfigurationError) else InfrastructureError
        return kind(str(meant))


def check_listing(page: Mapping[str, Any], prefix: str, what: str, failure: type[TransientError]) -> None:
    """Raise `failure` for an answer that is no listing of a prefix: any XML would pass for an empty one."""
    if "IsTruncated" not in page:
        raise failure(f"{what} did not send a listing")
    for entry in page.get("Contents", []):
        if not entry.get("Key", "").startswith(prefix) or entry.get("Size", -1) < 0:
            raise failure(f"{what} lists something else than objects below {prefix}")


def _read_md5(answer: Mapping[str, Any]) -> str | None:
    """The MD5 of an object, hexadecimal, where its ETag is one: not of what came in parts or is encrypted
    with a key of its own.

    Source: Amazon S3 API, "Object", ETag.
    """
    etag = answer.get("ETag", "").strip('"')
    if answer.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in answer:
        return None
    return etag if re.fullmatch(r"[0-9a-f]{32}", etag) else None


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
        # What is stored has its MD5 in a header, which is signed.
        hash_payload=False,
    )
    return S3Store(client, settings.bucket, settings.store_endpoint, settings.store_url)
