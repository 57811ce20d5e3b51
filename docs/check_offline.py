"""A built site needs no network: ``python docs/check_offline.py SITE``.

Nothing that a page loads by itself (scripts, styles, images, fonts) may come from elsewhere. Links
that a reader follows may lead anywhere.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

#: Attributes whose address a browser loads with the page. A ``link`` loads unless it only points.
LOADED = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("embed", "src"),
    ("object", "data"),
    ("source", "src"),
    ("video", "src"),
    ("audio", "src"),
}
POINTERS = {"author", "canonical", "help", "index", "license", "next", "prev", "search"}
ELSEWHERE = re.compile(r"(\w+:)?//")
IN_STYLES = re.compile(r"""(?:url\(|@import)\s*["']?((?:\w+:)?//[^"')\s;]+)""")


class _Page(HTMLParser):
    """Collects the addresses from elsewhere that a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "link" and POINTERS & set((dict(attrs).get("rel") or "").split()):
            return
        for name, value in attrs:
            if (tag, name) in LOADED and ELSEWHERE.match(value or ""):
                self.found.append(f"<{tag}> {value}")


def loads_from_elsewhere(site: Path) -> list[str]:
    """One line per address: the file and what it loads."""
    found = []
    for file in sorted(site.rglob("*")):
        if file.suffix == ".html":
            addresses = _Page(file.read_text(encoding="utf-8")).found
        elif file.suffix == ".css":
            addresses = IN_STYLES.findall(file.read_text(encoding="utf-8"))
        else:
            continue
        found += [f"{file.relative_to(site)}: {address}" for address in addresses]
    return found


def main() -> None:
    site = Path(sys.argv[1])
    pages = len(list(site.rglob("*.html")))
    if not pages:
        sys.exit(f"{site} holds no page")
    if found := loads_from_elsewhere(site):
        sys.exit("loaded from elsewhere:\n" + "\n".join(found))
    print(f"{pages} pages load nothing from elsewhere")


if __name__ == "__main__":
    main()
