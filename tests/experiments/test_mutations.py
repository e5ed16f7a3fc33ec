import pytest
from studies import mutations


@pytest.mark.parametrize("mutation", mutations.MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_change_stands_once_in_its_file_and_has_tests(mutation):
    assert (mutations.ROOT / "jaxgan" / mutation.file).read_text().count(mutation.before) == 1
    assert mutation.tests
    assert all((mutations.ROOT / test).exists() for test in mutation.tests)


def test_names_of_changes_differ():
    assert len({mutation.name for mutation in mutations.MUTATIONS}) == len(mutations.MUTATIONS) >= 30


@pytest.mark.exhaustive
def test_a_change_of_code_is_noticed_and_one_of_a_comment_is_not():
    wrong, *_ = (m for m in mutations.MUTATIONS if m.name == "every epoch in the same order")
    assert "test_order" in mutations.noticed_by(wrong)
    harmless = wrong._replace(before="# separates these", after="# keeps these apart")
    assert mutations.noticed_by(harmless) is None
