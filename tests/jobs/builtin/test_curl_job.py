"""The job that makes an HTTP request."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from duly.jobs import TimeLimitExceeded
from duly.jobs.builtin.curl import BODY_LIMIT, REDIRECTS_MAX, CurlFailed, CurlJob
from duly.jobs.storable import TEXT_LIMIT, storable
from support.contexts import ManualWaiting, context, task_with
from support.waiting import wait_until_async
from support.web import WebServer, web_server

LIMIT = timedelta(minutes=1)
URL = "http://127.0.0.1:1/"


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    """A server for all tests."""
    with web_server() as server:
        yield server


async def run(job: CurlJob, payload: bytes = b"") -> dict[str, Any]:
    """Run the job on a one-off task; its result."""
    task = task_with(payload)
    returned = await job.execute(context(task), task)
    assert returned.result is not None
    assert len(returned.result.encode()) <= TEXT_LIMIT
    assert storable(returned.result) == returned.result
    result: dict[str, Any] = json.loads(returned.result)
    return result


async def failure(job: CurlJob) -> CurlFailed:
    """How the request fails."""
    with pytest.raises(CurlFailed) as caught:
        await run(job)
    return caught.value


async def test_the_result_tells_status_and_body(web: WebServer) -> None:
    """As JSON text."""
    assert await run(CurlJob(web.url("/text?hex=c3a9"))) == {
        "status": 200,
        "url": web.url("/text?hex=c3a9"),
        "content_type": "text/plain",
        "body": "é",
        "truncated": False,
    }


async def test_method_headers_and_body_are_sent(web: WebServer) -> None:
    """A method in small letters is meant in capitals."""
    job = CurlJob(web.url("/echo"), method="put", headers={"X-Key": "k", "User-Agent": "me"}, body="é")

    sent = json.loads((await run(job))["body"])

    assert (sent["method"], sent["body"]) == ("PUT", "é")
    assert sent["headers"].items() >= {"x-key": "k", "user-agent": "me", "content-length": "2"}.items()


async def test_a_payload_overrides_the_settings(web: WebServer) -> None:
    """Each key takes the place of what the job was made with."""
    job = CurlJob(URL, headers={"X-Old": "1"}, body="old")
    settings = {"url": web.url("/echo"), "method": "POST", "headers": {"X-New": "2"}, "body": "new"}

    sent = json.loads((await run(job, json.dumps(settings).encode()))["body"])

    assert (sent["method"], sent["body"], sent["headers"]["x-new"]) == ("POST", "new", "2")
    assert "x-old" not in sent["headers"]


async def test_a_payload_may_turn_redirects_off(web: WebServer) -> None:
    """Then the 3xx is the answer, and a success."""
    job = CurlJob(web.url("/redirect?to=/echo"))

    assert (await run(job, b'{"follow_redirects": false}'))["status"] == 302


@pytest.mark.parametrize("code", [200, 204, 304])
async def test_2xx_and_3xx_are_success(web: WebServer, code: int) -> None:
    """A 3xx that redirects nowhere too."""
    assert (await run(CurlJob(web.url(f"/status?code={code}"))))["status"] == code


@pytest.mark.parametrize("code", [400, 404, 500])
async def test_another_status_fails_the_run(web: WebServer, code: int) -> None:
    """The error holds it, and the body's start."""
    error = await failure(CurlJob(web.url(f"/status?code={code}")))

    assert (error.status, error.body, error.method) == (code, "as you wish", "GET")
    assert f"status {code}: as you wish" in str(error)


async def test_what_counts_as_success_may_be_chosen(web: WebServer) -> None:
    """Any container of statuses."""
    assert (await run(CurlJob(web.url("/status?code=404"), ok={404})))["status"] == 404
    assert (await failure(CurlJob(web.url("/status?code=200"), ok={404}))).status == 200


async def test_redirects_are_followed(web: WebServer) -> None:
    """The result tells where they led."""
    result = await run(CurlJob(web.url("/redirect?to=/text%3Fhex=61")))

    assert (result["status"], result["url"], result["body"]) == (200, web.url("/text?hex=61"), "a")


async def test_a_redirected_post_keeps_its_body_where_the_status_says_so(web: WebServer) -> None:
    """307 repeats the request."""
    sent = json.loads((await run(CurlJob(web.url("/redirect?to=/echo&code=307"), method="POST", body="b")))["body"])

    assert (sent["method"], sent["body"]) == ("POST", "b")


async def test_a_loop_of_redirects_ends(web: WebServer) -> None:
    """After a bounded number of requests."""
    web.requests.clear()

    error = await failure(CurlJob(web.url("/loop")))

    assert "redirects" in str(error)
    assert len(web.requests) == REDIRECTS_MAX + 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "http://:80/", "http://h:99999/"])
async def test_a_redirect_leads_to_http_and_https_only(web: WebServer, target: str) -> None:
    """As the job's own URL."""
    error = await failure(CurlJob(web.url(f"/redirect?to={target}")))

    assert error.status is None
    assert str(error).startswith(f"GET {web.url('/redirect')}")


async def test_of_an_endless_body_only_the_start_is_read(web: WebServer) -> None:
    """Then the connection is closed."""
    web.hung_up.clear()

    result = await run(CurlJob(web.url("/endless")))

    assert (result["body"], result["truncated"]) == ("x" * BODY_LIMIT, True)
    await wait_until_async(web.hung_up.is_set)


async def test_the_body_of_a_redirect_is_not_read(web: WebServer) -> None:
    """It may be endless as well."""
    assert (await run(CurlJob(web.url("/endless-redirect?to=/text%3Fhex=61"))))["body"] == "a"


@pytest.mark.parametrize("path", ["/hang", "/hang-in-body"])
async def test_the_time_limit_bounds_the_whole_request(web: WebServer, path: str) -> None:
    """The body too; the connection is closed."""
    web.requests.clear()
    web.hung_up.clear()
    waiting, task = ManualWaiting(), task_with()
    running = asyncio.ensure_future(CurlJob(web.url(path), time_limit=LIMIT).execute(context(task, waiting=waiting), task))
    await wait_until_async(lambda: web.requests)

    waiting.elapse(LIMIT)

    with pytest.raises(TimeLimitExceeded):
        await running
    await wait_until_async(web.hung_up.is_set)


@pytest.mark.parametrize(
    ("raw", "content_type", "text"),
    [
        ("e9", "text/plain; charset=latin-1", "é"),
        ("c3a9", "text/plain", "é"),
        ("ff00", "text/plain", "\ufffd\ufffd"),
        ("c3a9", "text/plain; charset=no-such", "é"),
        ("c3a9", "text/plain; charset=hex", "é"),
        ("c3a9", "text/plain; charset=idna", "é"),
        ("61", "text/plain; charset=undefined", "a"),
    ],
)
async def test_the_body_is_text_whatever_the_server_says(web: WebServer, raw: str, content_type: str, text: str) -> None:
    """An unknown charset is UTF-8; what cannot be decoded is a replacement character."""
    assert (await run(CurlJob(web.url(f"/text?hex={raw}&type={content_type}"))))["body"] == text


@pytest.mark.parametrize("byte", ["01", "22", "ff"])
async def test_no_body_makes_a_result_that_a_store_would_cut(web: WebServer, byte: str) -> None:
    """`run` checks it; a result that was cut would be no JSON any more."""
    assert (await run(CurlJob(web.url(f"/text?hex={byte * 2 * BODY_LIMIT}"))))["truncated"]


async def test_a_body_of_just_the_limit_is_whole(web: WebServer) -> None:
    """Nothing is said to be missing."""
    result = await run(CurlJob(web.url(f"/text?hex={'61' * BODY_LIMIT}")))

    assert (len(result["body"]), result["truncated"]) == (BODY_LIMIT, False)


async def test_no_answer_fails_the_run() -> None:
    """The client's error is the cause."""
    error = await failure(CurlJob(URL))

    assert error.status is None
    assert "ConnectError" in str(error)
    assert error.__cause__ is not None


async def test_a_host_that_cannot_be_looked_up_fails_the_run() -> None:
    """A label of 70 letters is refused by a codec, not by the client."""
    assert (await failure(CurlJob(f"http://{'a' * 70}.invalid/"))).status is None


async def test_proxies_of_the_environment_are_not_used(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task does the same on every node."""
    monkeypatch.setenv("HTTP_PROXY", URL)
    monkeypatch.setenv("ALL_PROXY", URL)

    assert (await run(CurlJob(web.url("/echo"))))["status"] == 200


async def test_a_password_in_the_url_is_used_and_not_shown(web: WebServer) -> None:
    """Neither in the result nor in an error."""
    url = web.url("/echo").replace("//", "//user:secret@")

    result = await run(CurlJob(url))
    error = await failure(CurlJob(url, ok=()))

    assert "authorization" in json.loads(result["body"])["headers"]
    assert result["url"] == error.url == web.url("/echo")
    assert "secret" not in str(error)
