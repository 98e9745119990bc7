"""What a page needs, as a browser reads it; and no page, whatever is in it, holds up whoever reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons import assets, clock
from daemons.assets import Asset

PAGE = "http://127.0.0.1:8000/"


@pytest.mark.parametrize(
    ("html", "page", "wanted"),
    [
        ('<script src="/a.js"></script>', PAGE, ["a.js"]),
        ("<SCRIPT SRC=a.js></SCRIPT>", PAGE, ["a.js"]),
        ('<script src="./x/../a.js?v=1#top"></script>', PAGE, ["a.js"]),
        ('<base href="/deep/"><script src="a.js"></script>', PAGE, ["deep/a.js"]),
        ('<script src="/ui/a.js"></script>', "http://127.0.0.1:8000/ui/", ["a.js"]),
        ('<script src="a.js"></script>', "http://127.0.0.1:8000/ui/index.html", ["a.js"]),
        ('<script src="/a%20b%C3%A9.js"></script>', PAGE, ["a bé.js"]),
        ('<link rel="modulepreload" href="/m.js"><link rel=preload as=style href="/p.css">', PAGE, ["m.js", "p.css"]),
        ('<link rel="STYLESHEET alternate" href=" /s.css ">', PAGE, ["s.css"]),
        ('<link rel="icon" href="/favicon.ico"><img src="/i.png">', PAGE, []),
        ('<!-- <script src="/old.js"></script> -->', PAGE, []),
        ('<script>document.write(\'<script src="/no.js">\')</script>', PAGE, []),
        ('<script src="https://cdn.example/x.js"></script><script src="//cdn.example/y.js"></script>', PAGE, []),
        ('<script src="data:text/javascript,1"></script><script src=""></script><script src></script>', PAGE, []),
        ('<script src="/a.js" src="/b.js"></script>', PAGE, ["a.js"]),
        ('<base href="https://cdn.example/"><script src="a.js"></script>', PAGE, []),
        ('<script src="/shared/lib.js"></script>', "http://127.0.0.1:8000/ui/", []),
        ('<script\n src = "/a.js"\tdefer></script>', PAGE, ["a.js"]),
        ("<script/src='/a.js'/>", PAGE, ["a.js"]),
        ('<p title="<script src=/no.js></script>"><script src=/a.js></script>', PAGE, ["a.js"]),
        ('<!--><script src="/a.js"></script>', PAGE, ["a.js"]),
        ('<!-- a > b <script src="/no.js"></script>', PAGE, []),
        ('<title><script src="/no.js"></script></title><style></STYLE><script src="/a.js">', PAGE, ["a.js"]),
        ('a < b <script src="/a.js"></script>', PAGE, ["a.js"]),
        ('<script src="/no.js', PAGE, []),
        ('<base href="//["><script src="a.js"></script><script src="//[x"></script>', PAGE, []),
    ],
)  # fmt: skip
def test_a_page_names_what_a_browser_would_fetch(html: str, page: str, wanted: list[str]) -> None:
    needs = assets.of_page(html.encode(), page)

    assert [asset.path for asset in needs.assets] == wanted
    assert needs.escapes == ()


def test_the_query_goes_into_the_request_and_not_into_the_path() -> None:
    needs = assets.of_page(b'<script src="a.js?v=1&amp;w=2"></script>', PAGE)

    assert needs.assets == (Asset("a.js", "/a.js?v=1&w=2", "script"),)


@given(st.text(), st.text())
def test_no_page_makes_the_check_fail_or_look_outside(name: str, rest: str) -> None:
    needs = assets.of_page(f'<base href="{rest}"><script src="{name}">{rest}'.encode("utf-8", "replace"), PAGE)

    for asset in needs.assets:
        assert not asset.path.startswith("/")
        assert ".." not in asset.path.split("/")


@pytest.mark.parametrize(
    "piece", ["<!--", "<a b='", "<", "<p a=b>", "<![CDATA[", "<?", "<script>", "</", "&#x", "<a", "<a ='"]
)
def test_no_page_takes_long_to_read(piece: str) -> None:
    page = b'<script src="/a.js"></script>' + piece.encode() * ((50 << 20) // len(piece))

    began_s = clock.monotonic()
    needs = assets.of_page(page, PAGE)

    assert clock.monotonic() - began_s < 3
    assert [asset.path for asset in needs.assets] == ["a.js"]
    assert needs.cut
