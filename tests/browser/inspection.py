"""`inspect(page, name)`: is this page, as it stands there, usable by everybody? And what does it look like?

axe-core by the rules of WCAG 2.2 AA, in light and dark, on a desk and on a phone; no scrolling sideways, down to 320 px
(WCAG 1.4.10). Each view is kept as a picture in build/screenshots/, for people to look at.
"""

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.sync_api import Page

from tests.browser.demo import ROOT

PICTURES = ROOT / "build" / "screenshots"
SIZES = {1280: 900, 375: 812}
NARROWEST = 320

_AXE_OPTIONS = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Cut off inside a box that hides what sticks out. Not meant: an ellipsis, which says so, with the rest elsewhere.
_CUT_OFF = """() => [...document.querySelectorAll("body *")].filter((element) => {
  const style = getComputedStyle(element);
  return style.overflowX !== "visible" && style.textOverflow !== "ellipsis" && style.clipPath === "none"
    && element.tagName !== "INPUT" && element.scrollWidth > element.clientWidth + 1;
}).map((element) => element.outerHTML.slice(0, 120))"""
_FOCUSED = """async () => {
  // On a busy machine what has the focus is scrolled to a frame later.
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  element.dataset.reached = "";
  return {
    name: (element.ariaLabel || element.textContent || element.name || "").trim().replace(/\\s+/g, " "),
    outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    // A page scrolls by whole pixels, and its boxes have fractions of them.
    on_screen: box.width > 0 && box.height > 0 && box.top > -1 && box.bottom < innerHeight + 1,
  };
}"""
_FOCUSABLE = "a[href], button, input:not([type=hidden]), summary"


def inspect(page: Page, name: str) -> None:
    """Fail when axe-core finds anything, or when one would have to scroll sideways."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    page.evaluate(AXE_SCRIPT)
    for width, height in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            # No motion: a colour on its way to another has neither's contrast.
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
            found += [f"{width} px, {scheme}: {problem}" for problem in _violations(page)]
    for width in (*SIZES, NARROWEST):
        page.set_viewport_size({"width": width, "height": 812})
        if too_wide := page.evaluate(_TOO_WIDE):
            found.append(f"at {width} px it is {too_wide} px too wide")
        found += [f"at {width} px cut off: {box}" for box in page.evaluate(_CUT_OFF)]
    page.set_viewport_size({"width": 1280, "height": 900})
    headings = page.locator("h1").count()
    if headings != 1 or not page.title():
        found.append(f"{headings} main headings, title {page.title()!r}")
    assert not found, f"{name}:\n" + "\n".join(found)


def _violations(page: Page) -> list[str]:
    answer = page.evaluate("options => axe.run(document, options)", _AXE_OPTIONS)
    return [
        f"{violation['id']}: {node['html']} ({' '.join(node['failureSummary'].split())})"
        for violation in answer["violations"]
        for node in violation["nodes"]
    ]


def walk_by_keyboard(page: Page) -> list[str]:
    """Press Tab from the top to the end: what came by. Fails when something is not reached, or not seen to be."""
    page.reload()
    page.evaluate("document.activeElement.blur()")  # a field can have the focus from the start
    stops = []
    for _ in range(page.locator(_FOCUSABLE).count()):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(_FOCUSED))
    unseen = [stop for stop in stops if stop["outline"] < 2 or not stop["on_screen"]]
    assert not unseen, f"no visible focus: {unseen}"
    missed = page.locator(f":is({_FOCUSABLE}):not([data-reached])")
    assert missed.count() == 0, f"not reached: {missed.all_inner_texts()}"
    return [stop["name"] for stop in stops]
