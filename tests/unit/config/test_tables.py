"""Tag tables as spreadsheets save them."""

from __future__ import annotations

import math

import pytest

from agent.config.encodings import decode
from agent.config.problems import Problems
from agent.config.tables import read_table
from tests.support.config_driver import CONFIG, file_problems, made, tag, use_plc

TABLE = "name,address,unit,scale\n油温,holding:1,°C,0.1\n"


def _rows(data: bytes | str) -> list[dict[str, object]]:
    problems = Problems()
    rows = read_table(data.encode() if isinstance(data, str) else data, "t.csv", problems)
    assert problems.lines == ()
    return [values for _, values in rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "utf-16"])
def test_encodings_of_spreadsheets(encoding):
    data = TABLE.replace("°C", "℃").encode(encoding)
    assert _rows(data) == [{"name": "油温", "address": "holding:1", "unit": "℃", "scale": 0.1}]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_separators(separator, newline):
    text = TABLE.replace(",", separator).replace("\n", newline)
    assert _rows(text) == [{"name": "油温", "address": "holding:1", "unit": "°C", "scale": 0.1}]


def test_the_hint_of_excel_is_obeyed():
    assert _rows("sep=;\nname;address\na;1,5\n") == [{"name": "a", "address": "1,5"}]


def test_decimal_comma_goes_with_semicolons_only():
    assert _rows("name;scale;invalid\na;0,1;1,5|nan\n") == [{"name": "a", "scale": 0.1, "invalid": (1.5, "nan")}]
    problems = Problems()
    read_table(b'name,scale\na,"0,1"\n', "t.csv", problems)
    assert problems.lines == ('t.csv:2: scale: is no number: "0,1"; write the decimal sign as a point',)


def test_header_in_any_case_and_trimmed():
    assert _rows(" Name ,ADDRESS\na,b\n") == [{"name": "a", "address": "b"}]


def test_empty_cells_rows_and_columns_are_as_if_not_there():
    assert _rows("name,address,unit,,\na,b, ,,\n,,,,\n\n# note\nc,d\n") == [
        {"name": "a", "address": "b"},
        {"name": "c", "address": "d"},
    ]


def test_quoted_cells_may_hold_separators_and_lines_and_the_count_goes_on():
    problems = Problems()
    rows = read_table(b'name,address,unit\n"a","b,c","d\ne"\nf,g,h,i\n', "t.csv", problems)
    assert rows[0] == ("t.csv:2", {"name": "a", "address": "b,c", "unit": "d\ne"})
    assert problems.lines == ("t.csv:4: has 4 cells, and the header 3; quote a cell that holds the separator",)


def test_numbers_as_a_spreadsheet_shows_them():
    row = _rows("name,count,sensitivity,offset,kind\na,10.0,2.0,-1e3,GAUGE\n")[0]
    assert row == {"name": "a", "count": 10, "sensitivity": 2, "offset": -1000.0, "kind": "gauge"}


@pytest.mark.parametrize("cell", ["TRUE", "1_000", "nan", "inf", "1.2.3", "0x", "=A1*2", "9" * 400])
def test_what_is_no_number(cell):
    problems = Problems()
    read_table(f"name,scale\na,{cell}\n".encode(), "t.csv", problems)
    assert len(problems) == 1


@pytest.mark.parametrize("cell", ["nan|0x8000", "NaN 32768", "nan | 0x8000"])
def test_values_that_mean_no_value(cell, tmp_path, monkeypatch):
    use_plc(monkeypatch)
    (tmp_path / "t.csv").write_text(f"name,address,invalid\na,holding:1,{cell}\n")
    text = f'[[device]]\nname = "p"\ndriver = "plc"\nconnection = {{ host = "h" }}\ntags_file = "{tmp_path}/t.csv"\n'
    nan, number = made(text).devices[0].tags[0].point.invalid
    assert math.isnan(nan)
    assert number == 0x8000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "t.csv: is empty"),
        (b"\x00\x01\x02", "t.csv: is not a text file"),
        (b"\xff\xff\xff", "t.csv: is not a text file"),
        (b"PK\x03\x04\x00\x00", "t.csv: is not a text file"),
        (b"name,name\na,b\n", "t.csv:1: name: column given twice"),
        (b'name,address\n"a,b\n', "t.csv:2: is no CSV"),
        (b"name,address\n" + b"a" * 200_000, "t.csv:2: is no CSV"),
    ],
)
def test_unusable_tables(data, message):
    problems = Problems()
    read_table(data, "t.csv", problems)
    assert problems.lines[0].startswith(message)


def test_a_table_is_looked_for_beside_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "plant").mkdir()
    (tmp_path / "plant" / "t.csv").write_text("name,address\na,sine\n")
    path = tmp_path / "plant" / CONFIG
    path.write_text('[gateway]\nname = "g"\n[[device]]\nname = "p"\ndriver = "simulated"\ntags_file = "t.csv"\n')
    monkeypatch.chdir(tmp_path)
    assert file_problems(path) == ()


@pytest.mark.parametrize("what", [".", "/dev/zero", "t\\u0000.csv", "x" * 5000])
def test_a_table_that_is_no_file_is_told_and_not_read(what):
    text = f'[gateway]\nname = "g"\n[[device]]\nname = "p"\ndriver = "simulated"\ntags_file = "{what}"\n{tag()}'
    with pytest.raises(Exception, match="tags_file") as caught:
        made(text.replace("holding:1", "sine"))
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("encoding", "name", "text"),
    [
        ("cp1252", "Windows-1252", "température;holding:1;°C"),
        ("cp1252", "Windows-1252", "Größe Kühlöl;holding:1;m³/h"),
        ("cp1252", "Windows-1252", "x;holding:1;°C"),
        ("cp1252", "Windows-1252", "à l'arrêt;holding:1;µm"),
        ("gbk", "GB18030", "油温;holding:1;℃"),
        ("gbk", "GB18030", "镗床温度;holding:1;°C"),
        ("gbk", "GB18030", "P压力;holding:1;千帕"),
        ("big5", "Big5", "壓力;holding:1;度"),
        ("big5", "Big5", "油溫 總電能;holding:1;℃"),
    ],
)
def test_f7_encoding_is_decided_on_evidence_and_said(encoding, name, text):
    data = f"name;address;unit\n{text}\n".encode(encoding)
    problems = Problems()
    ((_, values),) = read_table(data, "t.csv", problems)
    assert [values["name"], values["address"], values["unit"]] == text.split(";")
    (said,) = problems.warnings
    assert said.startswith(f"t.csv: is not UTF-8 and was taken for {name}")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "температура,1,°C"),
        ("cp1251", "ТЕМПЕРАТУРА,1,°C"),
        ("cp1250", "ciśnienie,1,prędkość"),
        ("shift_jis", "温度,1,圧力"),
        ("latin-1", "\x80\x81\x82"),
    ],
)
def test_f7_what_looks_like_no_known_encoding_is_refused(encoding, text):
    problems = Problems()
    assert read_table(f"name,address,unit\n{text}\n".encode(encoding), "t.csv", problems) == []
    assert problems.lines == (
        "t.csv: is not a text file, or its encoding cannot be told for certain; save it as CSV UTF-8",
    )


def test_f7_encodings_that_are_as_plausible_are_named():
    found = decode("name,unit\na,°C\n".encode("cp1252"))
    assert found is not None
    assert (found.encoding, found.others) == ("Windows-1252", ("Big5",))


@pytest.mark.parametrize("cell", ["65.536", "1.234.567", "-4.096"])
def test_f7_a_sign_that_could_stand_between_thousands_is_asked_about(cell):
    problems = Problems()
    read_table(f"name;address;rollover\na;holding:1;{cell}\n".encode(), "t.csv", problems)
    (line,) = problems.lines
    assert line.startswith(f't.csv:2: rollover: has a point that could stand between thousands: "{cell}"; write ')
    assert cell.replace(".", "") in line


@pytest.mark.parametrize(("cell", "value"), [("65536", 65536), ("65,536", 65.536), ("0.125", 0.125), ("1.5", 1.5)])
def test_f7_a_number_with_one_meaning_is_taken(cell, value):
    problems = Problems()
    ((_, values),) = read_table(f"name;address;scale\na;40001.1;{cell}\n".encode(), "t.csv", problems)
    assert (values["scale"], problems.lines) == (value, ())


def test_f7_points_before_fractions_elsewhere_decide():
    problems = Problems()
    rows = read_table(b"name;address;scale\na;holding:1;0.1\nb;holding:2;1.125\n", "t.csv", problems)
    assert ([values["scale"] for _, values in rows], problems.lines) == ([0.1, 1.125], ())
