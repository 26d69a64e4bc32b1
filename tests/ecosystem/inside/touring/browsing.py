"""A browser in small: cookies, forms, and one connection for each request."""

from __future__ import annotations

import http.client
import json
import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

SECONDS = 60


class Answer:
    """An answer of a site."""

    def __init__(self, url, response):
        self.url = url
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode(errors="replace")

    def json(self):
        """Return the content."""
        return json.loads(self.text)

    @property
    def location(self):
        """Where it redirects to; empty where it does not."""
        return self.headers.get("Location", "")

    @property
    def cookies(self):
        """The cookies that it sets or deletes."""
        return SimpleCookie("\r\n".join(self.headers.get_all("Set-Cookie", [])))

    def fields(self):
        """Return the hidden fields of its forms: the CSRF token, and what a wizard keeps there."""
        tags = re.findall(r"<input\b[^>]*>", self.text)
        pairs = [(_attribute(tag, "name"), _attribute(tag, "value")) for tag in tags if 'type="hidden"' in tag]
        return {name: value for name, value in pairs if name}


def _attribute(tag, name):
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return found[1] if found else ""


class Browser:
    """Visit a site."""

    def __init__(self, url, headers=None):
        self.url = url
        self.headers = {"Referer": url, **(headers or {})}
        self.cookies = {}

    def get(self, path, follow=False, **headers):
        """Fetch a page; with ``follow``, go where it redirects to."""
        return self.ask("GET", path, None, follow, headers)

    def post(self, path, data=None, follow=False, **headers):
        """Send a form, with the CSRF token that the browser has."""
        if "csrftoken" in self.cookies:
            data = {"csrfmiddlewaretoken": self.cookies["csrftoken"], **(data or {})}
        return self.ask("POST", path, urlencode(data or {}, doseq=True), follow, headers)

    def post_json(self, path, data, method="POST", **headers):
        """Send JSON, with the CSRF token in a header."""
        headers = {"Content-Type": "application/json", "X-CSRFToken": self.cookies.get("csrftoken", ""), **headers}
        return self.ask(method, path, json.dumps(data), False, headers)

    def ask(self, method, path, body=None, follow=False, headers=None):
        """Send a request, keep the answer's cookies, and return it."""
        for _ in range(10):
            answer = self._send(method, urljoin(self.url, path), body, headers or {})
            if not (follow and answer.location):
                return answer
            method, path, body = "GET", urljoin(answer.url, answer.location), None
        raise AssertionError(f"{path} redirects for ever")

    def _send(self, method, url, body, headers):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **self.headers}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body, {**sent, **headers})
            answer = Answer(url, connection.getresponse())
        finally:
            connection.close()
        for name, morsel in answer.cookies.items():
            if morsel["max-age"] == "0" or not morsel.value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return answer

    def twin(self):
        """Return another tab: the same cookies now, its own ones later."""
        other = Browser(self.url, self.headers)
        other.cookies = dict(self.cookies)
        return other

    # The pages that every site of a tour has.

    def sign_in(self, name="ann", password=None, path="/login/", **more):
        """Sign in by a form; return the answer to it."""
        self.get(path)
        return self.post(path, {"username": name, "password": password or name, **more})

    def sign_out(self, path="/logout/"):
        """Sign out by a form; return the answer to it."""
        return self.post(path)

    def who(self, path="/who/"):
        """Return the name of who is signed in, empty where nobody is."""
        return self.get(path).json()["user"]

    def put(self, **values):
        """Keep values in the session."""
        answer = self.get(f"/put/?{urlencode(values)}")
        assert answer.status == 200, answer.text

    def values(self):
        """Return what ``put()`` has kept in the session."""
        return self.get("/who/").json()["values"]
