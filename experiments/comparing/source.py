"""Which lines of a module hold code, what they stand in, and which of them had a part in a run."""

import ast
import io
import tokenize
from typing import NamedTuple

SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


class Line(NamedTuple):
    """A line that holds code."""

    number: int
    names: frozenset[str]  # identifiers in it
    path: tuple[ast.AST, ...]  # definitions and statements around it, outermost first

    @property
    def owner(self) -> str:
        """The qualified name of the innermost definition around it."""
        return ".".join(node.name for node in self.path if isinstance(node, DEFINITIONS)) or "<module>"


def code_lines(source: str) -> list[Line]:
    """Finds the lines of a module that hold code, and what they stand in."""
    tree = ast.parse(source)
    names: dict[int, set[str]] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SKIPPED:
            for number in range(token.start[0], token.end[0] + 1):
                names.setdefault(number, set()).add(token.string if token.type == tokenize.NAME else "")
    paths: dict[int, tuple[ast.AST, ...]] = {}

    def visit(node: ast.AST, path: tuple[ast.AST, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            below = path
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                below = (*path, child)
                first, last = _span(child)
                if isinstance(child, ast.Import | ast.ImportFrom) or _is_docstring(child, node):
                    for number in range(first, last + 1):
                        names.pop(number, None)
                paths.update(dict.fromkeys(range(first, last + 1), below))
            visit(child, below)

    visit(tree, ())
    return [Line(number, frozenset(found), paths[number]) for number, found in sorted(names.items())]


def _span(node: ast.AST) -> tuple[int, int]:
    """The first and last line of a statement, its decorators included."""
    if isinstance(node, ast.match_case):
        return node.pattern.lineno, node.body[-1].end_lineno
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]), node.end_lineno


def _is_docstring(node: ast.AST, parent: ast.AST) -> bool:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return is_text and isinstance(parent, (ast.Module, *DEFINITIONS)) and parent.body[0] is node


def has_run(line: Line, hits: set[int], made: set[str]) -> bool:
    """Says whether a line had a part in a run.

    Args:
      line: the line.
      hits: the lines of its file that ran.
      made: qualified names of the classes of its file that were instantiated.

    Returns:
      Whether its statement ran; for a signature whether the function did, for what is outside of functions whether an
      object of the class was made or one of its functions ran, and outside of classes whether anything in the file did.
    """
    scopes = [node for node in line.path if isinstance(node, DEFINITIONS)]
    if not scopes:
        return bool(hits or made)
    if isinstance(scopes[-1], ast.ClassDef):
        functions = [node for node in ast.walk(scopes[-1]) if isinstance(node, FUNCTIONS)]
        return line.owner in made or any(_body_ran(function, hits) for function in functions)
    innermost = line.path[-1]
    if innermost is scopes[-1]:
        return _body_ran(innermost, hits)
    first, last = _span(innermost)
    return not hits.isdisjoint(range(first, last + 1))


def _body_ran(function: ast.FunctionDef, hits: set[int]) -> bool:
    return not hits.isdisjoint(range(function.body[0].lineno, function.end_lineno + 1))
