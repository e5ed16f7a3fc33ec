import shutil
import subprocess

import pytest

from jaxgan import cli

TYPED = {
    "jaxgan tra": ["train"],
    "jaxgan train vanil": ["vanilla-gan"],
    "jaxgan train dcgan --keep": ["--keep-best"],
    "jaxgan train r3gan --loss hi": ["hinge"],
    "jaxgan train r3gan --workdir pict": ["pictures"],
    "jaxgan sample some": ["some run"],
    "jaxgan sample --interp": ["--interpolate"],
}
# Outside of a line that is edited `compopt` is not allowed.
OFFER = """
compopt() { :; }
offer() {
  read -ra COMP_WORDS <<< "$1"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
  $(complete -p jaxgan | sed 's/.*-F //; s/ .*//') jaxgan "${COMP_WORDS[-1]}"
  echo "$(IFS=,; echo "${COMPREPLY[*]}")"
}
"""


@pytest.fixture
def script(request, capsys):
    cli.main(["completion", request.param])
    return capsys.readouterr().out


@pytest.mark.parametrize("script", ["bash"], indirect=True)
def test_bash_offers_commands_recipes_flags_values_and_files(script, tmp_path):
    for name in ("some run", "pictures"):
        (tmp_path / name).mkdir()
    lines = [script, OFFER, *(f"offer '{typed}'" for typed in TYPED)]
    done = subprocess.run(["bash"], input="\n".join(lines), text=True, capture_output=True, cwd=tmp_path, check=True)
    assert done.stderr == ""
    assert [line.split(",") for line in done.stdout.splitlines()] == list(TYPED.values())


@pytest.mark.parametrize(("script", "shell"), [(name, name) for name in ("zsh", "fish")], indirect=["script"])
def test_other_shells_read_a_script_that_knows_recipes_and_flags(script, shell):
    assert all(word in script for word in ("vanilla-gan", "flow-matching", "--keep-best", "--interpolate", "hinge"))
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_a_shell_that_is_not_known_is_told_the_nearest(refused):
    line = refused(cli.main, "completion", "fsh")
    assert line.endswith("choose from bash, fish, zsh; did you mean 'fish'?\n")
