import pytest
from studies import machine, markdown


def test_table_aligns_columns_and_escapes_bars():
    text = markdown.table(["name", "rate"], [["a|b", 1.5], ["two\nlines", None]])
    assert text.splitlines() == ["| name | rate |", "| --- | ---: |", "| a\\|b | 1.5 |", "| two lines |  |"]
    assert markdown.table(["a", "b"], [], "rc").splitlines()[1] == "| ---: | :---: |"


def test_table_refuses_a_row_of_another_length():
    with pytest.raises(ValueError, match="a row of 1 cells in a table of 2 columns"):
        markdown.table(["a", "b"], [["alone"]])


def test_details_escape_the_summary_and_set_the_body_apart():
    text = markdown.details("p < 0.1 & more", "| a |\n")
    assert text == "<details>\n<summary>p &lt; 0.1 &amp; more</summary>\n\n| a |\n\n</details>"


def test_document_leaves_out_empty_blocks():
    assert markdown.document("# Title", "", "text\n") == "# Title\n\ntext\n"


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (12.345, "12.3"), (0.5, "0.500"), (100, "100")])
def test_number_has_three_digits_or_its_whole_part(value, text):
    assert markdown.number(value) == text


def test_machine_is_described_in_one_line_with_versions_and_date():
    text = machine.describe("jax", "no such package")
    assert "jax " in text
    assert "no such package" not in text
    assert f"{len(machine.cpus())} CPUs" in text
    assert text.endswith(" UTC")
    assert "\n" not in text


def test_links_of_a_report_lead_to_the_same_files_from_another_folder(tmp_path):
    text = "[a](../../studies/a.py) ![b](b.png) [c](https://example.org/../c)"
    moved = markdown.relink(text, home=tmp_path / "gallery" / "design", folder=tmp_path / "runs")
    assert moved == "[a](../studies/a.py) ![b](b.png) [c](https://example.org/../c)"
