"""A job that makes one HTTP request.

httpx, the `http` extra, is imported when such a job is made and not before.
"""

import json
import re
from collections.abc import Container, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from duly.jobs.base import Job
from duly.jobs.context import JobContext
from duly.jobs.errors import InvalidValue, JobError
from duly.jobs.task import Task
from duly.jobs.validators import or_none, positive
from duly.triggers import MissingExtra

if TYPE_CHECKING:
    import httpx

BODY_LIMIT = 8 * 1024
"""Bytes kept of a response's body, its first: at JSON's worst, six bytes for one, they fit a result."""

REDIRECTS_MAX = 10

_PAYLOAD_KEYS = ("url", "method", "headers", "body", "follow_redirects")
_URL_SHOWN = 2000
_REASON_SHOWN = 500
_PORT_MAX = 65535
# RFC 9110: a token (5.6.2), and a field value (5.5) without the obsolete bytes above ASCII.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")


class CurlFailed(JobError):
    """A request got no answer, or one that does not count as success."""

    method: str
    """HTTP method of the request."""
    url: str
    """URL of the last request, without user and password."""
    status: int | None
    """HTTP status of the answer; None if no whole answer came."""
    body: str
    """Start of the answer's body; empty if no whole answer came."""

    def __init__(self, method: str, url: str, reason: str, *, status: int | None = None, body: str = "") -> None:
        """Name the request and what went wrong; `status` is None if no whole answer came, `body` its start."""
        super().__init__(f"{method} {url}: {reason}")
        self.method, self.url, self.status, self.body = method, url, status, body


@frozen(kw_only=True)
class Answer:
    """What is kept of a response."""

    status: int
    url: str
    """Of the last request, after the redirects, without user and password."""
    content_type: str
    body: str
    """Its start, decoded."""
    truncated: bool
    """Whether there was more."""

    def to_json(self) -> str:
        """Write it as the result of a task."""
        fields = {name: getattr(self, name) for name in ("status", "url", "content_type", "body", "truncated")}
        return json.dumps(fields, ensure_ascii=False)


def _url(_: object, __: object, value: str) -> None:
    """Accept an absolute http or https URL."""
    try:
        import httpx  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("CurlJob", "http") from error
    try:
        valid = isinstance(value, str) and _may_be_requested(httpx.URL(value))
    except (httpx.InvalidURL, ValueError) as error:
        raise InvalidValue("url", value, f"an absolute http or https URL ({error})") from error
    if not valid:
        raise InvalidValue("url", value, "an absolute http or https URL")


def _may_be_requested(url: "httpx.URL") -> bool:
    return url.scheme in ("http", "https") and bool(url.host) and 0 < (url.port or 1) <= _PORT_MAX


def _method(value: str) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise InvalidValue("method", value, "an HTTP method such as GET")
    return value.upper()


def _headers(value: Mapping[str, str] | None) -> Mapping[str, str]:
    """Copy; a refusal of a header's value names the header only, for the value may be a secret."""
    if value is not None and not isinstance(value, Mapping):
        raise InvalidValue("headers", value, "a mapping of names to texts")
    for name, text in (value or {}).items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise InvalidValue("headers", name, "names of letters, digits and hyphens")
        if not isinstance(text, str) or not _FIELD_VALUE.fullmatch(text):
            raise InvalidValue("headers", name, "a header whose value is ASCII text without line breaks, and without blanks at its ends")
    return dict(value or {})


def _body(value: str | bytes | None) -> bytes | None:
    """Encode as UTF-8 what is text."""
    if value is None or isinstance(value, bytes):
        return value
    try:
        return value.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise InvalidValue("body", value, "bytes, or text that UTF-8 can hold") from error


def _boolean(_: object, attribute: Any, value: object) -> None:  # noqa: ANN401 - attrs' Attribute is generic
    if not isinstance(value, bool):
        raise InvalidValue(attribute.name, value, "true or false")


@frozen(eq=False)
class CurlJob(Job):
    """Make one HTTP request.

    A status in `ok` (default: 2xx and 3xx) is success; anything else raises `CurlFailed`.

    A payload, if there is one, is a JSON object that overrides settings for its task: `url`, `method`, `headers` (an object of
    texts; it replaces all of the job's), `body` (text or null) and `follow_redirects`. Other keys are refused. The job's headers
    are sent to the URL that a payload names: where they hold a secret, only trusted code may write payloads.

    Redirects are followed, at most `REDIRECTS_MAX` of them, to http and https only; without them a 3xx is the answer. The result is
    JSON, the fields of `Answer`; no more of the body is read than its first `BODY_LIMIT` bytes. `time_limit` bounds it all, from
    the look-up of the name to the body. Of the environment nothing is used, neither proxies (`HTTPS_PROXY`) nor `.netrc` nor
    certificates (`SSL_CERT_FILE`): a task does the same on every node.

    Raises:
        MissingExtra: the `http` extra is not installed.
        InvalidValue: the URL, the method, a header or the body cannot be sent.

    """

    url: str = field(validator=_url)
    """Absolute http or https URL."""
    kind: str = field(default="curl", kw_only=True)
    """Registered name of the job."""
    method: str = field(default="GET", kw_only=True, converter=_method)
    """HTTP method, in upper case."""
    headers: Mapping[str, str] = field(default=None, kw_only=True, converter=_headers, repr=False)
    """Headers of the request, names to ASCII texts; None: none."""
    body: bytes | None = field(default=None, kw_only=True, converter=_body, repr=False)
    """Body of the request; text is sent as UTF-8. None: no body."""
    follow_redirects: bool = field(default=True, kw_only=True, validator=_boolean)
    """Whether redirects are followed, at most 10; if not, a 3xx is the answer."""
    time_limit: timedelta | None = field(default=timedelta(seconds=30), kw_only=True, validator=or_none(positive))
    """Longest time for the whole request, from the look-up of the name to the body; None: no limit of its own."""
    ok: Container[int] = field(default=range(200, 400), kw_only=True)
    """Statuses that count as success; a range, a set, or anything that has `in`."""

    async def execute(self, ctx: JobContext, task: Task, /) -> Task:
        """Make the request and return the task with its result.

        Raises:
            CurlFailed: no answer, one that is not `ok`, or a redirect that is not followed.
            InvalidValue: the payload is not as described.
            TimeLimitExceeded: it took longer than `time_limit`.

        """
        request = evolve(self, **_overrides(task.payload))
        answer = await ctx.within(self.time_limit, request.send())
        if answer.status not in self.ok:
            reason = f"status {answer.status}: {answer.body[:_REASON_SHOWN]}"
            raise CurlFailed(request.method, answer.url, reason, status=answer.status, body=answer.body)
        return evolve(task, result=answer.to_json())

    async def send(self) -> Answer:
        """Make the request and return the answer, whatever its status.

        There is no time limit here.
        """
        import httpx  # noqa: PLC0415 - an extra

        headers = {"accept-encoding": "identity", "user-agent": "duly"} | {name.lower(): text for name, text in self.headers.items()}
        try:
            # A client of its own: one job serves several event loops, and cookies of one run are no business of the next.
            async with httpx.AsyncClient(trust_env=False, timeout=None, verify=_tls()) as client:  # noqa: S113 - bounded by the caller
                request = client.build_request(self.method, self.url, headers=headers, content=self.body)
                for _ in range(REDIRECTS_MAX + 1):
                    # httpx would read the whole body of each redirect.
                    response = await client.send(request, stream=True, follow_redirects=False)
                    try:
                        if not self.follow_redirects or response.next_request is None:
                            return await _read(response)
                    finally:
                        await response.aclose()
                    request = self._redirected(response.next_request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            # OSError and ValueError: host names that the operating system or the IDNA codec refuse.
            raise self._failed(f"{type(error).__name__} {error}".strip()) from error
        raise self._failed(f"more than {REDIRECTS_MAX} redirects")

    def _redirected(self, request: "httpx.Request") -> "httpx.Request":
        if not _may_be_requested(request.url):
            raise self._failed(f"redirected to {_shown(request.url)}: only http and https are followed")
        return request

    def _failed(self, reason: str) -> CurlFailed:
        import httpx  # noqa: PLC0415 - an extra

        return CurlFailed(self.method, _shown(httpx.URL(self.url)), reason)


@cache
def _tls() -> SSLContext:
    """Load the certificates of `certifi` once: it takes more than ten milliseconds of the event loop."""
    import httpx  # noqa: PLC0415 - an extra

    return httpx.create_ssl_context(trust_env=False)


def _overrides(payload: bytes) -> dict[str, Any]:
    """Read the settings in a payload; their values are checked where they are set."""
    if not payload:
        return {}
    settings: object = None
    # ValueError: neither UTF-8 nor JSON. RecursionError: nested thousands deep.
    with suppress(ValueError, RecursionError):
        settings = json.loads(payload)
    if not isinstance(settings, dict) or not settings.keys() <= set(_PAYLOAD_KEYS):
        raise InvalidValue("payload", payload, f"a JSON object with no other keys than {', '.join(_PAYLOAD_KEYS)}")
    return settings


async def _read(response: "httpx.Response") -> Answer:
    start = bytearray()
    # Raw: were it compressed against our request, a few bytes could be made to fill the memory.
    async for chunk in response.aiter_raw():
        start += chunk
        if len(start) > BODY_LIMIT:
            break
    return Answer(
        status=response.status_code,
        url=_shown(response.url),
        content_type=response.headers.get("content-type", "")[:255],
        body=_text(bytes(start[:BODY_LIMIT]), response.charset_encoding),
        truncated=len(start) > BODY_LIMIT,
    )


def _text(raw: bytes, charset: str | None) -> str:
    """Decode by the charset that the server names, or else as UTF-8.

    U+FFFD stands for NUL and for what cannot be decoded.
    """
    try:
        text = raw.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # an unknown charset, or a codec that is none of text
        text = raw.decode("utf-8", "replace")
    return text.replace("\x00", "\ufffd")


def _shown(url: "httpx.URL") -> str:
    """The URL without user and password, cut if it is very long."""
    return str(url.copy_with(userinfo=b""))[:_URL_SHOWN]
