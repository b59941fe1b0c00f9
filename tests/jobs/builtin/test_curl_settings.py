"""What a request may be made of."""

import subprocess
import sys

import pytest

from duly.jobs import CurlJob, InvalidValue, MissingExtra
from support.contexts import context, task_with

URL = "http://127.0.0.1:1/"


@pytest.mark.parametrize(
    "payload",
    [
        b"x",
        b"[]",
        b"\xff",
        b"1",
        b"[" * 100_000,
        b'{"timeout": 1}',
        b'{"url": "ftp://x"}',
        b'{"url": 1}',
        b'{"method": "A B"}',
        b'{"method": null}',
        b'{"headers": []}',
        b'{"headers": {"X": 1}}',
        b'{"body": 1}',
        b'{"follow_redirects": "no"}',
    ],
    ids=lambda payload: payload[:30].decode(errors="replace"),
)
async def test_a_payload_that_is_not_as_described_is_refused(payload: bytes) -> None:
    """Before anything is sent."""
    task = task_with(payload)

    with pytest.raises(InvalidValue):
        await CurlJob(URL).execute(context(task), task)


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "/path", "ftp://example.com", "file:///etc/passwd", "http://", "http://[::1", "http://h:99999", "http://h/\ud800"],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    """When the job is made; the error names it."""
    with pytest.raises(InvalidValue) as caught:
        CurlJob(url)

    assert (caught.value.field, caught.value.value) == ("url", url)


@pytest.mark.parametrize("method", ["", "GET /", "G\r\nET", 7])
def test_an_invalid_method_is_refused(method: str) -> None:
    """When the job is made; the error names it."""
    with pytest.raises(InvalidValue) as caught:
        CurlJob(URL, method=method)

    assert (caught.value.field, caught.value.value) == ("method", method)


@pytest.mark.parametrize(
    ("name", "text"), [("", "x"), ("A B", "x"), ("A", "secret\r\nB: x"), ("A", " secret"), ("A", "\0secret"), ("A", "sécret")]
)
def test_an_invalid_header_is_refused(name: str, text: str) -> None:
    """When the job is made; the error names the header, but does not show its value, which may be a key."""
    with pytest.raises(InvalidValue) as caught:
        CurlJob(URL, headers={name: text})

    assert (caught.value.field, caught.value.value) == ("headers", name)
    assert "secret" not in str(caught.value)


def test_the_job_keeps_its_headers_to_itself() -> None:
    """They may hold a key: they are not in its repr, and the caller's mapping may change."""
    headers = {"Authorization": "Bearer secret"}
    job = CurlJob(URL, headers=headers)
    headers.clear()

    assert "secret" not in repr(job)
    assert job.headers == {"Authorization": "Bearer secret"}


def test_without_httpx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the job is made."""
    monkeypatch.setitem(sys.modules, "httpx", None)

    with pytest.raises(MissingExtra, match=r"\.\[http\]"):
        CurlJob(URL)


def test_importing_the_module_does_not_import_httpx() -> None:
    """A program that makes no requests need not have it."""
    script = "import sys, duly.jobs.builtin.curl, duly.jobs.builtin.shell, duly.jobs.builtin.print; sys.exit('httpx' in sys.modules)"

    subprocess.run([sys.executable, "-P", "-c", script], check=True)
