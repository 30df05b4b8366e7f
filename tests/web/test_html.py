"""Pieces of HTML: whatever text they get, the page holds it as text and runs its own script alone."""

import base64
import hashlib
import json
import re

from kgen.web import html

NASTY = "</script><script>alert('x')</script>"


def test_a_document_allows_its_own_style_and_script_only():
    page = html.document("title", "<p>body</p>", style="p { margin: 0 }", script="let x = 1;")
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    assert style.startswith(html.asset("shared/palette.css")) and style.endswith("p { margin: 0 }")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    for kind, text in (("style", style), ("script", "let x = 1;")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy


def test_texts_are_escaped():
    pieces = (
        html.section(NASTY, "body", "name"),
        html.note("quiet", NASTY, html.paragraphs([NASTY])),
        html.quiet(NASTY),
        html.table([NASTY, NASTY], [[NASTY, NASTY]], NASTY, stacks=True),
        html.pairs({NASTY: NASTY, "long": [NASTY] * 30}),
        html.definitions([(NASTY, NASTY)]),
        html.fold(NASTY, "body"),
        html.document(NASTY, "", style="", script=""),
    )
    for piece in pieces:
        assert NASTY not in piece and "alert(" in piece
    values = {"name": NASTY}
    assert "<" not in html.script_json(values) and json.loads(html.script_json(values)) == values


def test_consecutive_definitions_share_their_term():
    found = html.definitions([("a", "first"), ("a", "second"), ("b", "third")])
    assert re.findall(r"<d[td]>(\w+)", found) == ["a", "first", "second", "b", "third"]


def test_an_empty_part_is_left_out():
    assert html.section("title", "", "name") == ""


def test_files_as_data_urls():
    assert html.data_url("image/png", b"\x01\x02") == "data:image/png;base64,AQI="
