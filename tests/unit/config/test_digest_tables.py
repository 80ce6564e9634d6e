"""Tables of indicators and findings that the configuration brings: whole, of known words, and bounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.main import main
from agent.config.difference import difference
from agent.config.model import Configuration
from agent.config.overlay import Overlay
from agent.config.parse import check_overlay, load
from agent.config.table_checks import MOST_ROWS, check_findings
from agent.control.draft import read_draft
from agent.control.effective import effective
from agent.control.toml import write_toml
from agent.digest.spec import compile_spec
from agent.digest.tables import own_findings, own_indicators
from agent.errors import ConfigurationInvalid

GATEWAY = '[gateway]\nname = "g"\n'


def plain(table: msgspec.Struct, name: str) -> dict[str, Any]:
    """The agent's own table under another name."""
    values: dict[str, Any] = json.loads(msgspec.json.encode(table))
    return values | {"name": name}


def findings() -> dict[str, Any]:
    return plain(own_findings(), "park.findings/3")


def indicators() -> dict[str, Any]:
    return plain(own_indicators(), "park.indicators/1")


def written(folder: Path, digest: dict[str, Any], **files: Any) -> Configuration:
    for name, content in files.items():
        text = json.dumps(content) if isinstance(content, dict) else content
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    path = folder / "config.toml"
    path.write_text(GATEWAY + write_toml({"digest": digest}), encoding="utf-8")
    return load(path, {})


def problem(folder: Path, table: dict[str, Any], name: str = "findings") -> str:
    with pytest.raises(ConfigurationInvalid) as error:
        written(folder, {name: table})
    return "\n".join(error.value.problems)


def test_a_table_means_the_same_wherever_it_is_written(tmp_path: Path) -> None:
    inline = written(tmp_path, {"findings": findings(), "indicators": indicators()})
    beside = written(tmp_path, {"findings_file": "f.json", "indicators_file": "i.json"}, f=findings(), i=indicators())
    assert inline.file.digest == beside.file.digest and inline.hash == beside.hash
    (tmp_path / "f.toml").write_text(write_toml(findings()), encoding="utf-8")
    both = written(tmp_path, {"findings_file": "f.toml", "indicators": indicators()})
    assert both.hash == inline.hash
    spec = compile_spec(inline, {}, {})
    assert spec.tables == {"indicators": "park.indicators/1", "findings": "park.findings/3"}
    assert spec.findings.rules == own_findings().rules and spec.indicators.rows == own_indicators().rows


def test_a_table_is_part_of_what_the_configuration_means(tmp_path: Path) -> None:
    none = written(tmp_path, {})
    one = written(tmp_path, {"findings": findings()})
    changed = findings()
    changed["rules"][4]["limits"][0]["above"] = 0.21
    other = written(tmp_path, {"findings": changed})
    assert len({none.hash, one.hash, other.hash}) == 3
    assert difference(one, other).sections == ("digest",) and not difference(one, other).needs_restart


def test_the_table_of_the_configuration_holds_before_its_file(tmp_path: Path) -> None:
    # What the platform sends is laid over a local file that may name one.
    local = findings() | {"name": "local/1"}
    made = written(tmp_path, {"findings": findings(), "findings_file": "f.json"}, f=local)
    assert made.file.digest.findings is not None and made.file.digest.findings.name == "park.findings/3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "gongfu.findings/3"}, 'findings.name: "gongfu.findings/3" is how the agent calls its own tables'),
        ({"name": "park findings"}, '"park findings" is no name with a version; such as "park.findings/1"'),
        ({"least_coverage": 80.0}, "findings.least_coverage: 80 is no share"),
        ({"rules": []}, ""),
        ({"ruels": []}, 'findings.ruels: unknown key; did you mean "rules"?'),
        ({"rules": findings()["rules"][:1] * 2}, 'rules[1].id: "unmonitored_equipment" is given twice'),
    ],
)
def test_what_is_wrong_with_a_table_of_findings(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    if said:
        assert said in problem(tmp_path, findings() | change)
    else:
        assert written(tmp_path, {"findings": findings() | change}).file.digest.findings is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "idle_enrgy"}, 'id: "idle_enrgy" is nothing that is measured; did you mean "idle_energy"?'),
        ({"measured_by": "__import__('os')"}, "measured_by: "),
        ({"measured_by": "micro_stops"}, 'limits[0].measure: "idle_share" is no measure of this rule'),
        ({"scope": "device"}, 'scope: "idle_energy" is measured of a machine; write "machine"'),
        ({"version": 0}, "version: must be at least 1"),
        ({"limits": []}, "limits: has 0 entries"),
        ({"limits": [{"measure": "idle_share", "level": "warn"}]}, "limits[0]: needs above or below, and not both"),
        ({"limits": [{"measure": "idle_shore", "level": "warn", "above": 1}]}, 'did you mean "idle_share"?'),
        ({"limits": [{"measure": "idle_share", "level": "wran", "above": 1}]}, 'did you mean "warn"?'),
        ({"least": {"idle_kw": 1}}, 'least.idle_kw: "idle_kw" is no measure of idle_energy; did you mean "idle_kwh"?'),
        ({"title": {"en": "x" * 301, "zh": "空"}}, "title.en: must have from 1 to 300 characters"),
        ({"title": {"en": "x"}}, "title.zh: missing key"),
        ({"window": "year"}, "window: cannot be"),
    ],
)
def test_what_is_wrong_with_a_rule(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    table = findings()
    table["rules"] = [table["rules"][4] | change]
    assert said in problem(tmp_path, table)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kpi": "ISO22400.OEEE"}, 'kpi: "ISO22400.OEEE" is no kpi; did you mean "ISO22400.OEE"?'),
        ({"kpi": ""}, "must be made of one thing"),
        ({"numerator": "links"}, "must be made of one thing"),
        ({"kpi": "", "numerator": "conected", "denominator": "links"}, 'did you mean "connected"?'),
        ({"kpi": "", "numerator": "links"}, "denominator: "),
        ({"edges": [0.4, 0.2]}, "edges: must ascend between 0 and 1"),
        ({"code": "sec"}, 'code: "sec" cannot be used'),
        ({"standard": ""}, "standard: must have from 1 to 300 characters"),
        (
            {"kpi": "", "baseline": {"least_points": 2, "least_coverage": 0.9, "least_spread": 0.1}},
            "baseline.least_points: 2 is out of range; from 3 to 28 days",
        ),
    ],
)
def test_what_is_wrong_with_an_indicator(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    row = {"code": "ENPI.SEC", "kpi": "ENPI.SEC", "basis": "measured", "standard": "x"}
    assert said in problem(tmp_path, indicators() | {"rows": [row | change]}, "indicators")


def test_links_are_made_of_inputs_of_machines(tmp_path: Path) -> None:
    said = problem(tmp_path, indicators() | {"links": {"quality": ["god"]}}, "indicators")
    assert 'links.quality[0]: "god" is no input of a machine; did you mean "good"?' in said


def test_a_table_is_bounded(tmp_path: Path) -> None:
    table = findings()
    many = [table["rules"][4] | {"id": f"rule_{each}", "measured_by": "idle_energy"} for each in range(MOST_ROWS + 1)]
    assert written(tmp_path, {"findings": table | {"rules": many[:-1]}}).file.digest.findings is not None
    assert f"rules: has {MOST_ROWS + 1} entries; at most {MOST_ROWS}" in problem(tmp_path, table | {"rules": many})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "f.json: cannot be read"),
        ("[]", "f.json: holds no table"),
        ("[" * 100_000, "f.json: "),
        (" " * 300_000, "is larger than 256 KiB"),
        ({"name": "park/1", "least_coverage": 0.8, "rules": [{"id": 1}]}, "f.json: rules[0].id: must be text"),
    ],
)
def test_a_file_that_holds_no_table(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as error:
        written(tmp_path, {"findings_file": "f.json"}, f=content)
    assert said in "\n".join(error.value.problems)


def test_an_overlay_brings_its_table_with_it() -> None:
    assert check_overlay(Overlay(write_toml({"digest": {"findings": findings()}}), "revision 7"))
    with pytest.raises(ConfigurationInvalid, match=r"digest\.findings_file: names a file of the gateway"):
        check_overlay(Overlay('[digest]\nfindings_file = "f.json"\n', "revision 7"))
    broken = findings() | {"least_coverage": 2.0}
    with pytest.raises(ConfigurationInvalid, match=r"revision 7: digest\.findings\.least_coverage"):
        check_overlay(Overlay(write_toml({"digest": {"findings": broken}}), "revision 7"))


def test_an_administrators_draft_takes_a_table_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps(findings()), encoding="utf-8")
    path = tmp_path / "draft.toml"
    path.write_text('[digest]\nfindings_file = "f.json"\n', encoding="utf-8")
    draft = read_draft(path)
    assert check_overlay(Overlay(draft.text, "revision 7"))["digest"]["findings"] == findings()
    path.write_text('[digest]\nfindings_file = "g.json"\n', encoding="utf-8")
    with pytest.raises(ConfigurationInvalid, match=r"digest\.findings_file: there is no file"):
        read_draft(path)


def test_the_platform_is_told_the_name_of_a_table_and_not_all_of_it(tmp_path: Path) -> None:
    made = written(tmp_path, {"findings": findings(), "period": "1h"})
    file = msgspec.structs.replace(made.file, remote=msgspec.structs.replace(made.file.remote, allow=("digest",)))
    assert effective(file) == {"digest": {"period": "1h", "findings": {"name": "park.findings/3"}}}


def test_the_table_in_force_is_printed_in_the_form_that_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, {"findings": findings()})
    assert main(["digest", "table", "findings", "--config", str(tmp_path / "config.toml")]) == 0
    assert json.loads(capsys.readouterr().out) == findings()
    assert main(["digest", "table", "indicators", "--config", str(tmp_path / "config.toml")]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == own_indicators().name


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.sampled_from(["", "idle_energy", "x", "zh"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["en", "id", "measure"]), inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(findings()["rules"][4])), values, st.booleans())
def test_any_table_is_taken_or_refused_with_a_path(key: str, value: Any, whole: bool) -> None:
    table = findings()
    if whole:
        table[key if key in table else "rules"] = value
    else:
        table["rules"][4][key] = value
    from agent.config.convert import BAD, Context, convert
    from agent.config.digest_tables import FindingTable
    from agent.config.problems import Problems
    from agent.config.references import Resolver

    problems = Problems()
    made = convert(table, FindingTable, "f.json", Context(problems, Resolver({}, Path())))
    if made is not BAD:
        check_findings(made, "f.json", problems)
    assert (made is not BAD) or len(problems)
    assert all(line.startswith("f.json") for line in problems.lines)
