"""The page: whole, safe, complete in both languages, the same for the same data, and honest about what is missing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from agent.buffer.store import Store
from agent.config.model import Configuration
from agent.diagnosis.gather import gather
from agent.diagnosis.model import Report
from agent.diagnosis.page import page
from agent.diagnosis.terminal import text
from agent.diagnosis.words import Language, Words, language_of, table
from agent.digest.equipment import kpi
from agent.digest.windows import DAY, Period
from tests.support.diagnosis_plants import HOUR, Plant, at, plant

MONDAY = at("2026-11-16")
CHAPTERS = ["glance", "findings", "timeline", "oee", "stops", "energy", "coverage", "kpis", "indicators", "proof",
            "method"]  # fmt: skip
LANGUAGES: list[Language] = ["zh", "en"]
VOID = {"meta", "br", "img", "link", "input", "hr"}
HOSTILE = "<img src=x onerror=alert(1)> \"'&$\\alpha$ \x07冲压"


class Seen(HTMLParser):
    """What a page holds; complains about what is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.titles: list[str] = []
        self.shown: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice: {attrs}"
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href", "action") and value]
        self.links += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for _, value in attrs))
        assert not [name for name in given if name.startswith("on")], given
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "title" and "svg" in self.open:
            self.titles.append(data)
        if self.open and self.open[-1] != "style":
            self.shown.append(data)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "buffer.db")
    yield opened
    await opened.close()


async def reported(store: Store, made: Configuration, hours: int = 30, dark: tuple[int, int] = (5, 7)) -> Report:
    end = MONDAY + hours * HOUR
    await Plant(store, made).run(MONDAY, end, dark=[Period(MONDAY + dark[0] * HOUR, MONDAY + dark[1] * HOUR)])
    return await gather(store, made, Period(MONDAY, MONDAY + 2 * DAY), made=end, fingerprint="the-thumbprint")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_page_is_whole_and_fetches_nothing(store: Store, language: Language) -> None:
    report = await reported(store, plant(["press", "lathe"]))
    html = page(report, Words(language)).decode()
    seen = Seen(html)
    assert [each for each in seen.ids if each in CHAPTERS] == CHAPTERS
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.links and all(link.startswith("#") for link in seen.links)
    assert {link[1:] for link in seen.links} <= set(seen.ids)
    assert not {"script", "img", "link", "iframe", "object", "foreignobject"} & set(seen.tags)
    assert "http" not in html.replace("http-equiv", "") and "@import" not in html
    # Two time lines, two waterfalls, two Paretos, three curves, a heat map: each tells what it is.
    assert seen.tags.count("svg") == len(seen.titles) == 10
    assert "the-thumbprint" in html and report.proof.head_hash in html
    assert page(report, Words(language)).decode() == html


async def test_every_word_of_the_chinese_page_is_chinese(store: Store) -> None:
    secret = plant(["press", "secret"], secret=["secret"])
    seen = Seen(page(await reported(store, secret), Words("zh")).decode())
    shown = {each.strip() for each in seen.shown}
    english = {each.en for each in [*table().texts.values(), *table().evidence.values()] if each.en != each.zh}
    assert not english & shown
    assert not set(table().said) & {each for each in shown if table().said.get(each) != each}
    # What is left of Latin script are names, codes and units.
    sentences = [each for each in shown if re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", each)]
    assert [each for each in sentences if "gongfu-edge digest" not in each and each != "Example Press Works"] == []


async def test_what_somebody_called_a_machine_cannot_break_the_page(store: Store) -> None:
    made = plant([HOSTILE])
    html = page(await reported(store, made), Words("en")).decode()
    seen = Seen(html)
    assert "img" not in seen.tags and "\x07" not in html
    assert any("<img src=x onerror=alert(1)>" in each for each in seen.shown)
    assert any("$\\alpha$" in each for each in seen.titles)


async def test_one_machine_without_a_calendar_says_why_there_is_no_oee(store: Store) -> None:
    report = await reported(store, plant(["press"], calendar=None))
    seen = Seen(page(report, Words("zh")).decode())
    assert "未配置生产日历，计划忙碌时间未知" in seen.shown
    assert "100.0 %" not in [each for each, name in zip(seen.shown[1:], seen.shown, strict=False) if name == "OEE"]


async def test_a_plant_without_machines_still_has_its_coverage(store: Store) -> None:
    report = await reported(store, plant([]))
    seen = Seen(page(report, Words("en")).decode())
    assert "No machine is configured, or none whose figures may leave the plant." in seen.shown
    assert seen.tags.count("svg") == 0


async def test_a_machine_of_which_nothing_may_leave_is_only_named(store: Store) -> None:
    report = await reported(store, plant(["press", "secret"], secret=["secret"]))
    seen = Seen(page(report, Words("en")).decode())
    assert seen.shown.count("secret") == 3  # withheld; and its device, in the picture and the table of coverage
    assert "sensitivity 3 never leaves the plant" in seen.shown


async def test_many_machines_are_told_in_tables_and_the_worst_in_pictures(store: Store) -> None:
    names = [f"machine-{number:02}" for number in range(26)]
    report = await reported(store, plant(names), hours=9)
    html = page(report, Words("en")).decode()
    seen = Seen(html)
    # 3 time lines of 12 machines, 6 waterfalls, 2 Paretos, 1 + 6 curves, 2 heat maps of 25 devices.
    assert seen.tags.count("svg") == 3 + 6 + 2 + 7 + 2
    assert all(name in html for name in names)
    assert len(html) < 4_000_000


async def test_the_terminal_gets_the_same_in_short(store: Store) -> None:
    report = await reported(store, plant(["press", HOSTILE]))
    lines = text(report, Words("en")).splitlines()
    assert any(line.startswith("press ") and "80.0 %" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert any("Micro-stops · press" in line for line in lines)


def test_both_languages_have_every_text_with_the_same_places_for_values() -> None:
    for key, each in table().texts.items():
        assert each.en and each.zh, key
        assert sorted(re.findall(r"\{\w+\}", each.en)) == sorted(re.findall(r"\{\w+\}", each.zh)), key
        assert each.en == each.zh or re.search(r"[\u4e00-\u9fff]", each.zh), key


@pytest.mark.parametrize(
    ("sentence", "chinese"),
    [
        (kpi.NO_CALENDAR, "未配置生产日历，计划忙碌时间未知"),
        (kpi.NO_CYCLE, "未配置理论节拍（ideal_cycle），单件计划时间未知"),
        (f"ISO22400.AVAILABILITY: {kpi.NO_STATE}", "ISO22400.AVAILABILITY：没有已知状态"),
        ("recorded for 3.5 h, 8 h are needed", "仅记录 3.5 h，至少需要 8 h"),
        ("71.2 % of the time is known, 80 % are needed", "已知时间占 71.2 %，至少需要 80 %"),
        ("sensitivity 3 never leaves the plant", "敏感级别 3 的数据永不出厂"),
        ("something that a newer digest says", "something that a newer digest says"),
    ],
)
def test_what_digests_say_in_english_is_said_in_chinese(sentence: str, chinese: str) -> None:
    assert Words("zh").said(sentence) == chinese
    assert Words("en").said(sentence) == sentence


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB", "LC_ALL": "zh_CN"}, "zh"),
        ({"LANG": "C.UTF-8"}, "zh"),
        ({}, "zh"),
    ],
)
def test_the_language_is_that_of_the_locale_where_it_is_english(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (12.0, "12"), (1234567.0, "1,234,567"), (3.14159, "3.142"), (123.456, "123.5"), (0.0012345, "0.001"),
     (98765.4, "98,765"), (None, "–")],
)  # fmt: skip
def test_numbers_have_no_more_digits_than_matter(value: float | None, written: str) -> None:
    assert Words.number(value) == written


async def test_n16_the_idle_share_is_one_number_in_chart_table_and_tile(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "buffer.db")
    try:
        made = plant(["press"])
        await Plant(store, made).run(MONDAY, MONDAY + DAY)
        report = await gather(store, made, Period(MONDAY, MONDAY + DAY), made=0, fingerprint="thumb")
    finally:
        await store.close()
    (press,) = report.machines
    # A quarter of the energy cannot be joined with a state.
    sums = msgspec.structs.replace(press.sums, kwh=100.0, joined_kwh=73.0, idle_kwh=17.0)
    report = replace(report, machines=(replace(press, sums=sums),))
    shown = "".join(Seen(page(report, Words("en"), lambda told: None).decode()).shown)
    assert shown.count("23.3 %") >= 3 and "17.0 %" not in shown
